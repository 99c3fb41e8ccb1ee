package node

import (
	"context"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// applier owns the state machine: it applies entries in their order, answers the
// writes behind them and tells the feed and the readers.
type applier struct {
	queue   *queue[member.ApplyItem]
	machine *mvcc.Machine
	box     *mailbox
	recent  *recent
	readers *readers
	locks   *locks
	wrote   func(bytes int)
	fail    func(error)
	applied func() // called after every apply
}

func (a *applier) put(it member.ApplyItem) { a.queue.put(it) }

// do runs fn between two applies and waits for it; false if the applier has
// stopped.
func (a *applier) do(ctx context.Context, fn func()) bool {
	done := make(chan struct{})
	a.put(member.ApplyItem{Call: func() { fn(); close(done) }})
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
			tasks := member.Run(items, member.ApplyEntriesMax)
			if len(tasks) == 0 {
				items[0].Call()
				items = items[1:]
				continue
			}
			items = items[len(tasks):]
			bytes, err := member.Apply(a.machine, tasks, a)
			if err != nil {
				a.fail(err)
				return
			}
			a.wrote(bytes)
			a.applied()
		}
	}
}

// Applied, Answer and Published are member.Audience's.
func (a *applier) Applied(done member.Applied) {
	a.box.put(func(in *inputs) { in.Applied = append(in.Applied, done) })
}

func (a *applier) Answer(tag any, res mvcc.Result) { tag.(proposer).done(res) }

func (a *applier) Published(p *mvcc.Published, events []*kvpb.Event) {
	a.recent.add(events, p.Revision, p.Compacted)
	a.locks.changed(events)
	a.readers.published(p)
}
