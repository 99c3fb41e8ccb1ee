package node

import (
	"context"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// appendItem is one piece of work on the log.
type appendItem struct {
	sync     bool // batch is to be written
	batch    store.Batch
	task     *replica.AppendTask // nil for a checkpoint or a truncation
	truncate uint64
	done     func()
}

// appender writes the Raft log, one durable write at a time; all that waits and
// fits joins the next one.
type appender struct {
	queue   *queue[appendItem]
	log     store.Log
	box     *mailbox
	send    func(*replica.AppendTask)
	fail    func(error)
	install func(*replica.AppendTask, store.Batch) error // installs a snapshot
}

func (a *appender) put(it appendItem) { a.queue.put(it) }

// run works until ctx ends or the log fails.
func (a *appender) run(ctx context.Context) {
	for {
		items := a.queue.take(ctx)
		if items == nil {
			return
		}
		for len(items) > 0 {
			n, batch := join(items)
			if err := a.write(items[:n], batch); err != nil {
				a.fail(fmt.Errorf("writing the Raft log: %w", err))
				return
			}
			items = items[n:]
		}
	}
}

// join takes as many items as can be one write.
func join(items []appendItem) (n int, b store.Batch) {
	if isInstall(items[0]) || items[0].truncate > 0 {
		return 1, items[0].batch
	}
	size := 0
	for ; n < len(items); n++ {
		it := items[n]
		if isInstall(it) || it.truncate > 0 || size > appendBatchBytes {
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
	return n, b
}

func isInstall(it appendItem) bool { return it.task != nil && it.task.Snapshot != nil }

func (a *appender) write(items []appendItem, b store.Batch) (err error) {
	switch {
	case isInstall(items[0]):
		err = a.install(items[0].task, b)
	case items[0].truncate > 0:
		err = a.log.Truncate(items[0].truncate)
	case b.Hard != nil || len(b.Entries) > 0 || b.Checkpoint > 0:
		err = a.log.Append(b)
	}
	if err != nil {
		return err
	}
	var tasks []*replica.AppendTask
	for _, it := range items {
		if it.task != nil {
			a.send(it.task)
			tasks = append(tasks, it.task)
		}
		if it.done != nil {
			it.done()
		}
	}
	if len(tasks) > 0 {
		a.box.put(func(in *inputs) { in.appended = append(in.appended, tasks...) })
	}
	return nil
}
