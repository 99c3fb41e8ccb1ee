package member

import (
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

const (
	millisecond = int64(1_000_000)

	// expiriesMax bounds the keys that have run out and whose end was proposed
	// and is not decided, a lease counting as expiryOfLease of them: what clients
	// write waits behind no more than that. expireBytesMax bounds the keys of
	// one such command.
	expiriesMax    = 1024
	expiryOfLease  = 16
	expireBytesMax = 128 << 10
	// expiryTimeout is how long an expiry waits for an outcome.
	expiryTimeout = 4000 * millisecond
	// keepEvery is how often leases are renewed whose requests wait here.
	keepEvery = 100 * millisecond
)

// Leases knows what time is left to leases and to keys with a time to live of
// their own, and proposes the end of what has run out.
type Leases struct {
	clock   *lease.Clock
	now     int64
	serving bool
	// outstanding is the weight of what Due gave out and no proposal has decided.
	outstanding int
	// kept are leases that a waiting request keeps alive, with the number of
	// such requests.
	kept   map[int64]int
	keptAt int64
}

func newLeases(clock *lease.Clock) *Leases {
	return &Leases{clock: clock, kept: map[int64]int{}}
}

func setTimer(c *lease.Clock, t mvcc.Timer) {
	id := lease.ID{Lease: t.Lease, Key: string(t.Key)}
	if t.Gone {
		c.Cancel(id)
		return
	}
	c.Set(lease.Timer{ID: id, TTLMillis: t.TTLMillis, Generation: t.Generation})
}

// onRole begins and ends the time of this node's leadership.
func (l *Leases) onRole(role replica.Role) {
	if l.serving = role.Serving; l.serving {
		l.clock.Lead(role.Term, l.now)
	} else {
		l.clock.Follow()
	}
}

// advance comes first in a step, and applied after it: what is set now begins now.
func (l *Leases) advance(now int64) {
	l.now = now
	l.clock.Advance(now)
}

func (l *Leases) applied(a Applied) {
	if a.Clock != nil {
		// A node that has received a state does not lead.
		l.clock = a.Clock
	}
	for _, t := range a.Timers {
		setTimer(l.clock, t)
	}
	for _, x := range a.ended {
		l.decided(x)
	}
}

// wake is when the next step is due, at the latest when the replica wants one.
func (l *Leases) wake(replica int64) int64 {
	if next := l.clock.Next(); next != 0 && l.outstanding < expiriesMax {
		return min(replica, next)
	}
	return replica
}

// Renew gives a lease its full time to live again, as lease.Clock.Renew. What it
// tells may be answered only after a quorum round: see Member.Renew.
func (l *Leases) Renew(id, now int64) (ttlMillis int64, err error) { return l.clock.Renew(id, now) }

// Left is as lease.Clock.Left.
func (l *Leases) Left(id int64) (ttlMillis, leftMillis int64, ok bool) { return l.clock.Left(id) }

// Len is the number of timers.
func (l *Leases) Len() int { return l.clock.Len() }

// Keep has a lease renewed until Release, in a step.
func (l *Leases) Keep(id int64) { l.kept[id]++ }

// Release undoes one Keep, in a step.
func (l *Leases) Release(id int64) {
	if l.kept[id]--; l.kept[id] <= 0 {
		delete(l.kept, id)
	}
}

// expire ends a step: it proposes the end of what has run out.
func (l *Leases) expire(r *replica.Replica, now int64) {
	if !l.serving {
		return
	}
	l.renewKept(now)
	for _, x := range expiries(l.due()) {
		data, err := proto.Marshal(x.command)
		if err != nil {
			panic("member: encode an expiry: " + err.Error()) // it has no text fields
		}
		r.Propose(replica.Proposal{Command: data, Deadline: now + expiryTimeout, Tag: x})
	}
}

func (l *Leases) renewKept(now int64) {
	if now-l.keptAt < keepEvery {
		return
	}
	l.keptAt = now
	for id := range l.kept {
		_, _ = l.clock.Renew(id, now) // one that is gone tells its request by itself
	}
}
