package node

import (
	"context"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// appender writes the Raft log, one durable write at a time; all that waits and
// fits joins the next one.
type appender struct {
	queue     *queue[member.LogItem]
	log       store.Log
	box       *mailbox
	consensus *consensus
	snapshots *snapshots
	fail      func(error)
}

func (a *appender) put(it member.LogItem) { a.queue.put(it) }

// run works until ctx ends or the log fails.
func (a *appender) run(ctx context.Context) {
	for {
		items := a.queue.take(ctx)
		if items == nil {
			return
		}
		for len(items) > 0 {
			w := member.Join(items, member.LogBytesMax)
			if err := w.Do(a.log, a); err != nil {
				a.fail(err)
				return
			}
			items = items[w.Len():]
		}
	}
}

// Install, Send and Appended are member.LogOwner's.
func (a *appender) Install(b store.Batch) error { return a.snapshots.install(b) }

func (a *appender) Send(msgs []*raftpb.Message) { a.consensus.send(msgs) }

func (a *appender) Appended(tasks []*replica.AppendTask) {
	a.box.put(func(in *inputs) { in.Appended = append(in.Appended, tasks...) })
}
