package member

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// LogBytesMax is where a write of the log stops taking in what waits.
const LogBytesMax = 4 << 20

// LogItem is one piece of work on the log. What is to be done is done in the
// order in which the items came, by Join and Write:
//
//	w := Join(items, LogBytesMax)
//	err := w.Do(log, owner)       // an error ends the node
//	items = items[w.Len():]
type LogItem struct {
	sync     bool // batch is to be written
	batch    store.Batch
	task     *replica.AppendTask // nil for a checkpoint or a truncation
	truncate uint64
	done     func()
}

// Write is what is written to the log at once.
type Write struct {
	Batch store.Batch
	items []LogItem
}

// LogOwner does what Write asks for, on the goroutine that calls it.
type LogOwner interface {
	// Install gives b to the function Install, while nothing is applied.
	Install(b store.Batch) error
	// Send gives messages that had to wait for the write to the network.
	Send(msgs []*raftpb.Message)
	// Appended hands tasks to Member.Step.
	Appended(tasks []*replica.AppendTask)
}

// Join takes as many items as can be one write, at least one, and no more once
// their entries have bytesMax.
func Join(items []LogItem, bytesMax int) Write {
	if items[0].alone() {
		return Write{Batch: items[0].batch, items: items[:1]}
	}
	var b store.Batch
	n, size := 0, 0
	for ; n < len(items); n++ {
		it := items[n]
		if it.alone() || size > bytesMax {
			break
		}
		if !it.sync {
			continue
		}
		if es, have := it.batch.Entries, b.Entries; len(es) > 0 {
			if len(have) > 0 && es[0].GetIndex() != have[len(have)-1].GetIndex()+1 {
				break // it replaces some of what is before it
			}
			b.Entries = append(have[:len(have):len(have)], es...)
			for _, e := range es {
				size += len(e.GetData())
			}
		}
		if it.batch.Hard != nil {
			b.Hard = it.batch.Hard
		}
		b.Checkpoint = max(b.Checkpoint, it.batch.Checkpoint)
	}
	return Write{Batch: b, items: items[:n]}
}

// alone: an item shares its write with no other.
func (it *LogItem) alone() bool { return it.truncate > 0 || it.installs() }

func (it *LogItem) installs() bool { return it.task != nil && it.task.Snapshot != nil }

// Len is how many items the write is made of.
func (w *Write) Len() int { return len(w.items) }

// Installs reports whether Do exchanges the state.
func (w *Write) Installs() bool { return w.items[0].installs() }

// Durable reports whether Do makes anything durable.
func (w *Write) Durable() bool {
	return w.Batch.Hard != nil || len(w.Batch.Entries) > 0 || w.Batch.Checkpoint > 0 || w.Batch.Install != nil
}

// Do performs the write, and then what had to wait for it. After an error nothing
// of that was done, and nothing may be acknowledged any more.
func (w *Write) Do(log store.Log, owner LogOwner) error {
	if err := w.write(log, owner); err != nil {
		return fmt.Errorf("writing the Raft log: %w", err)
	}
	var tasks []*replica.AppendTask
	for i := range w.items {
		it := &w.items[i]
		if it.task != nil {
			owner.Send(it.task.Remote)
			tasks = append(tasks, it.task)
		}
		if it.done != nil {
			it.done()
		}
	}
	if len(tasks) > 0 {
		owner.Appended(tasks)
	}
	return nil
}

func (w *Write) write(log store.Log, owner LogOwner) error {
	it := &w.items[0]
	switch {
	case it.installs():
		if w.Batch.Install == nil {
			return fmt.Errorf("the snapshot of index %d was not received", it.task.Snapshot.GetIndex())
		}
		return owner.Install(w.Batch)
	case it.truncate > 0:
		return log.Truncate(it.truncate)
	case w.Durable():
		return log.Append(w.Batch)
	}
	return nil
}
