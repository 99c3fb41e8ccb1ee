package member

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// ApplyEntriesMax is where a run of tasks that are applied as one write ends.
const ApplyEntriesMax = 1024

// Audience is told what Apply did, on the goroutine that calls it.
type Audience interface {
	// Applied goes to Member.Step.
	Applied(Applied)
	// Answer tells what became of a proposal.
	Answer(tag any, res mvcc.Result)
	// Published comes with the events since the last one, after all answers.
	Published(p *mvcc.Published, events []*kvpb.Event)
}

// ApplyItem is one piece of work on the state machine: committed entries, or
// something to be done between two of them. What is to be done is done in the
// order in which the items came:
//
//	if tasks := Run(items, ApplyEntriesMax); len(tasks) == 0 {
//		items[0].Call()
//	} else {
//		bytes, err := Apply(machine, tasks, audience)   // an error ends the node
//	}
type ApplyItem struct {
	Task *replica.ApplyTask
	Call func()
}

// Run takes as many tasks as are applied together: no more once they have
// entriesMax entries, and none where a call comes first.
func Run(items []ApplyItem, entriesMax int) (tasks []*replica.ApplyTask) {
	for entries := 0; len(tasks) < len(items) && entries < entriesMax; {
		t := items[len(tasks)].Task
		if t == nil {
			break
		}
		tasks = append(tasks, t)
		entries += len(t.Entries)
	}
	return tasks
}

// Apply brings consecutive tasks into the state as one write and tells about it.
// The time of leases is on its way before a client can speak of its new lease.
// It returns how many bytes of log were applied. After an error nobody was told
// anything, and the machine is unusable.
func Apply(machine *mvcc.Machine, tasks []*replica.ApplyTask, to Audience) (bytes int, err error) {
	var committed []replica.Committed
	if len(tasks) == 1 {
		committed = tasks[0].Entries
	} else {
		for _, t := range tasks {
			committed = append(committed, t.Entries...)
		}
	}
	entries := make([]mvcc.Entry, len(committed))
	for i, c := range committed {
		if entries[i], err = Decode(c.Entry); err != nil {
			return 0, fmt.Errorf("applying the log: %w", err)
		}
		bytes += len(c.Entry.GetData())
	}
	applied, err := machine.Apply(entries)
	if err != nil {
		return 0, fmt.Errorf("applying the log: %w", err)
	}
	to.Applied(Applied{Tasks: tasks, Timers: applied.Timers, ended: endedIn(committed, applied.Results)})
	for i, c := range committed {
		for n, p := range c.Proposals {
			if _, own := p.Tag.(*expiry); !own {
				to.Answer(p.Tag, applied.Results[i][n])
			}
		}
	}
	to.Published(machine.Published(), applied.Events)
	return bytes, nil
}

// endedIn are the member's own expiries among what was proposed.
func endedIn(committed []replica.Committed, results [][]mvcc.Result) (ended []*expiry) {
	for i, c := range committed {
		for n, p := range c.Proposals {
			if x, own := p.Tag.(*expiry); own {
				x.refusal = results[i][n].Err
				ended = append(ended, x)
			}
		}
	}
	return ended
}

// Decode reads an entry. Only commands and raft's own empty entries are known.
func Decode(e *raftpb.Entry) (mvcc.Entry, error) {
	out := mvcc.Entry{Index: e.GetIndex(), Term: e.GetTerm()}
	if e.GetType() != raftpb.EntryNormal {
		return out, fmt.Errorf("entry %d is of type %s, which this version does not know: upgrade it", e.GetIndex(), e.GetType())
	}
	if len(e.GetData()) == 0 {
		return out, nil
	}
	_, commands, err := command.Decode(e.GetData())
	if err != nil {
		return out, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	out.Commands = commands
	return out, nil
}
