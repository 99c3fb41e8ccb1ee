package node

import (
	"context"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/bus"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// consensus owns the replica: it brings it inputs and performs its effects.
type consensus struct {
	box       *mailbox
	replica   *replica.Replica
	transport bus.Transport
	appender  *appender
	applier   *applier
	readers   *readers
	holder    *holder
	clock     func() int64

	// hard is the commit index's last move that was not written yet; it goes
	// with the next write.
	hard *raftpb.HardState
	// appending counts the tasks that the appender has not returned.
	appending int

	role     atomic.Pointer[replica.Role]
	onRole   func(replica.Role)
	snapshot func(*raftpb.Message) // streams the state to a follower
	// installing tells that raft has taken the received snapshot.
	installing func()
}

// run serves until ctx ends.
func (c *consensus) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Duration(c.replica.Wake() - c.clock()))
		select {
		case <-ctx.Done():
			return
		case <-c.box.wake:
		case <-timer.C:
		}
		c.step(c.box.take())
	}
}

// step brings the replica everything that came in and performs what follows.
func (c *consensus) step(in inputs) {
	r := c.replica
	r.Advance(c.clock())
	for _, f := range in.frames {
		r.Receive(f.from, f.msgs)
	}
	for _, id := range in.lost {
		r.PeerLost(id)
	}
	for _, t := range in.appended {
		c.appending--
		r.Appended(t)
	}
	for _, t := range in.applied {
		r.Applied(t)
	}
	for _, fn := range in.calls {
		fn(r)
	}
	for _, p := range in.proposals {
		r.Propose(p)
	}
	for _, rd := range in.reads {
		r.Read(rd)
	}
	for {
		c.perform(r.Effects())
		if !r.Pending() {
			break
		}
	}
	c.holder.expire(c.clock())
}

func (c *consensus) perform(e replica.Effects) {
	if e.Role != nil {
		c.role.Store(e.Role)
		c.onRole(*e.Role)
		for _, p := range c.holder.release(*e.Role) {
			c.replica.Propose(p)
		}
	}
	c.send(e.Send)
	if e.Append != nil {
		c.append(e.Append)
	}
	if e.Apply != nil {
		c.applier.put(applyItem{task: e.Apply})
	}
	for _, m := range e.Snapshots {
		c.snapshot(m)
	}
	for _, rel := range e.Reads {
		c.readers.release(rel)
	}
	for _, rf := range e.Refused {
		c.refuse(rf)
	}
	for _, rd := range e.RefusedReads {
		rd.Tag.(*readRequest).fail(errNoLeader("read"))
	}
	for _, p := range e.Expired {
		p.Tag.(*writeRequest).fail(errOutcomeUnknown())
	}
}

// refuse answers a proposal that was not proposed, or keeps it for a leader.
func (c *consensus) refuse(rf replica.Refusal) {
	req := rf.Proposal.Tag.(*writeRequest)
	if rf.Cause == replica.CauseOverloaded {
		req.fail(api.Errorf(api.KindOverloaded, "too many writes are waiting for the leader: try again later"))
		return
	}
	c.holder.hold(rf.Proposal, *c.role.Load(), c.clock())
}

// send gives messages to the network, those to one peer as one batch.
func (c *consensus) send(msgs []*raftpb.Message) {
	for len(msgs) > 0 {
		to := msgs[0].GetTo()
		var batch, rest []*raftpb.Message
		for _, m := range msgs {
			if m.GetTo() == to {
				batch = append(batch, m)
			} else {
				rest = append(rest, m)
			}
		}
		if !c.transport.Send(to, batch) {
			c.box.call(func(r *replica.Replica) { r.Unreachable(to) })
		}
		msgs = rest
	}
}

// append passes a task to the appender. One that writes nothing is done here
// and now, unless it has to wait for those before it.
func (c *consensus) append(t *replica.AppendTask) {
	if t.Hard != nil {
		c.hard = t.Hard
	}
	if !t.Sync && c.appending == 0 {
		c.send(t.Remote)
		c.replica.Appended(t)
		return
	}
	item := appendItem{task: t, sync: t.Sync}
	if t.Snapshot != nil {
		c.installing()
	}
	if t.Sync {
		item.batch = store.Batch{Hard: c.hard, Entries: t.Entries}
		c.hard = nil
	}
	c.appending++
	c.appender.put(item)
}

// checkpoint records that the state is durable up to index, and calls done
// when the record is.
func (c *consensus) checkpoint(index uint64, done func()) {
	c.box.call(func(*replica.Replica) {
		c.appender.put(appendItem{sync: true, batch: store.Batch{Hard: c.hard, Checkpoint: index}, done: done})
		c.hard = nil
	})
}
