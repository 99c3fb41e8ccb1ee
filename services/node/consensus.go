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
	leases    *leases
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
		timer.Reset(time.Duration(c.leases.wake(c.replica.Wake()) - c.clock()))
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
// Timers reach the clock of leases before the replica hears that their entries
// are applied, so that a leader that serves knows them all; requests, renewals
// among them, come before anything is found to have run out.
func (c *consensus) step(in inputs) {
	r := c.replica
	now := c.clock()
	r.Advance(now)
	c.leases.advance(now)
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
	for _, a := range in.applied {
		c.leases.applied(a)
		for _, t := range a.tasks {
			r.Applied(t)
		}
	}
	for _, fn := range in.calls {
		fn(c)
	}
	for _, p := range in.proposals {
		r.Propose(p)
	}
	for _, l := range in.leads {
		c.lead(l)
	}
	for _, rd := range in.reads {
		r.Read(rd)
	}
	c.leases.expire(r, now)
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
		c.leases.onRole(*e.Role, c.clock())
		c.onRole(*e.Role)
		c.holder.release(*e.Role, c.clock())
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
		rel.Reads = c.confirmed(rel.Reads)
		c.readers.release(rel)
	}
	for _, rf := range e.Refused {
		c.refuse(rf)
	}
	for _, rd := range e.RefusedReads {
		rd.Tag.(reader).fail(errNoLeader("read"))
	}
	for _, p := range e.Expired {
		p.Tag.(proposer).fail(errOutcomeUnknown())
	}
}

// refuse answers a proposal that was not proposed, or keeps it for a leader.
func (c *consensus) refuse(rf replica.Refusal) {
	p := rf.Proposal
	w, ours := p.Tag.(*writeRequest)
	switch {
	case rf.Cause == replica.CauseOverloaded:
		p.Tag.(proposer).fail(api.Errorf(api.KindOverloaded, "too many writes are waiting for the leader: try again later"))
	case ours:
		take := func() { c.replica.Propose(p) }
		c.holder.hold(heldRequest{request: w.request, take: take, bytes: len(p.Command)}, *c.role.Load(), c.clock())
	default:
		p.Tag.(proposer).fail(errNoLeader("request"))
	}
}

// lead has the leader take a request that goes past the log.
func (c *consensus) lead(l leadRequest) {
	role := *c.role.Load()
	if role.Serving {
		l.lead(c, l.request)
		return
	}
	take := func() { l.lead(c, l.request) }
	c.holder.hold(heldRequest{request: l.request, take: take, bytes: len(l.msg.Data)}, role, c.clock())
}

// confirmed refuses the reads of a leadership that was over before its quorum
// round was.
func (c *consensus) confirmed(reads []replica.Read) []replica.Read {
	role := c.role.Load()
	kept := reads[:0]
	for _, rd := range reads {
		r := rd.Tag.(reader)
		if term := r.leadership(); term != 0 && (!role.Leading || role.Term != term) {
			r.fail(errNoLeader("request"))
			continue
		}
		kept = append(kept, rd)
	}
	return kept
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
