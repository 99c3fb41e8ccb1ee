package node

import (
	"context"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/bus"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// consensus owns the member: it brings it inputs and performs its effects.
type consensus struct {
	box       *mailbox
	member    *member.Member
	transport bus.Transport
	appender  *appender
	applier   *applier
	readers   *readers
	snapshots *snapshots
	holder    *holder
	clock     func() int64

	role   atomic.Pointer[replica.Role]
	onRole func(replica.Role)
}

// run serves until ctx ends.
func (c *consensus) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if writes, reads := c.member.Replica.Busy(); !c.box.rest(writes, reads) {
			wait := c.member.Wake() - c.clock()
			if writes || reads {
				wait = min(wait, replica.Patience)
			}
			timer.Reset(time.Duration(wait))
			select {
			case <-ctx.Done():
				return
			case <-c.box.wake:
			case <-timer.C:
			}
		}
		c.step(c.box.take())
	}
}

// step brings the member everything that came in and performs what follows.
func (c *consensus) step(in inputs) {
	c.member.Step(c.clock(), in.Inputs)
	for {
		c.perform(c.member.Effects())
		if !c.member.Pending() {
			break
		}
	}
	c.holder.expire(c.clock())
}

func (c *consensus) perform(e member.Effects) {
	if e.Role != nil {
		c.role.Store(e.Role)
		c.onRole(*e.Role)
		c.holder.release(*e.Role, c.clock())
	}
	c.send(e.Send)
	if e.Log != nil {
		c.appender.put(*e.Log)
	}
	if e.Apply != nil {
		c.applier.put(member.ApplyItem{Task: e.Apply})
	}
	for _, m := range e.Snapshots {
		c.snapshots.send(m)
	}
	if e.Unused != nil {
		c.snapshots.drop(e.Unused)
	}
	for _, rel := range e.Reads {
		c.readers.release(rel)
	}
	for _, rf := range e.Refused {
		c.refuse(rf)
	}
	for _, rd := range e.RefusedReads {
		what := "read"
		if rd.Term != 0 {
			what = "request"
		}
		rd.Tag.(reader).fail(errNoLeader(what))
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
		take := func() { c.member.Replica.Propose(p) }
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
