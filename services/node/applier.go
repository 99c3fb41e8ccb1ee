package node

import (
	"context"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"go.etcd.io/raft/v3/raftpb"
)

// applyItem is a run of committed entries, or work to be done between two of
// them on the applier's goroutine.
type applyItem struct {
	task *replica.ApplyTask
	call func()
}

// applier owns the state machine: it applies entries in their order, answers the
// writes behind them and tells the feed and the readers.
type applier struct {
	queue   *queue[applyItem]
	machine *mvcc.Machine
	box     *mailbox
	recent  *recent
	readers *readers
	locks   *locks
	wrote   func(bytes int)
	fail    func(error)
	applied func() // called after every apply
}

func (a *applier) put(it applyItem) { a.queue.put(it) }

// do runs fn between two applies and waits for it; false if the applier has
// stopped.
func (a *applier) do(ctx context.Context, fn func()) bool {
	done := make(chan struct{})
	a.put(applyItem{call: func() { fn(); close(done) }})
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// run works until ctx ends or the state fails.
func (a *applier) run(ctx context.Context) {
	for {
		items := a.queue.take(ctx)
		if items == nil {
			return
		}
		for len(items) > 0 {
			if items[0].call != nil {
				items[0].call()
				items = items[1:]
				continue
			}
			n, entries := 0, 0
			for n < len(items) && items[n].task != nil && entries < applyBatchEntries {
				entries += len(items[n].task.Entries)
				n++
			}
			if err := a.apply(items[:n]); err != nil {
				a.fail(fmt.Errorf("applying the log: %w", err))
				return
			}
			items = items[n:]
		}
	}
}

// apply brings tasks into the state as one write and answers for them.
func (a *applier) apply(items []applyItem) error {
	var committed []replica.Committed
	for _, it := range items {
		committed = append(committed, it.task.Entries...)
	}
	entries := make([]mvcc.Entry, len(committed))
	bytes := 0
	for i, c := range committed {
		e, err := decode(c.Entry)
		if err != nil {
			return err
		}
		entries[i] = e
		bytes += len(c.Entry.GetData())
	}
	applied, err := a.machine.Apply(entries)
	if err != nil {
		return err
	}
	// The timers are on their way before a client can speak of its new lease.
	done := appliedTasks{timers: applied.Timers}
	for _, it := range items {
		done.tasks = append(done.tasks, it.task)
	}
	a.box.put(func(in *inputs) { in.applied = append(in.applied, done) })
	for i, c := range committed {
		for n, p := range c.Proposals {
			p.Tag.(proposer).done(applied.Results[i][n])
		}
	}
	p := a.machine.Published()
	a.recent.add(applied.Events, p.Revision, p.Compacted)
	a.locks.changed(applied.Events)
	a.readers.published(p)
	a.wrote(bytes)
	a.applied()
	return nil
}

// decode reads an entry. Only commands and raft's own empty entries are known.
func decode(e *raftpb.Entry) (mvcc.Entry, error) {
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
