package fanout

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Instant is a moment on the caller's monotonic clock, in nanoseconds. It has to
// go on while the process is stopped.
type Instant int64

const (
	millisecond Instant = 1e6
	// grantMargin is kept from the end of a grant for a batch to leave.
	grantMargin = 10 * millisecond
)

// Grant is a replica's knowledge of whether it may publish: the leader grants it
// for some time from the moment the request was sent, so that the replica stops
// before the leader lets another begin, however long the answer took.
type Grant struct {
	replica  string
	epoch    api.Epoch
	until    Instant
	sent     Instant // when the request behind the newest answer was sent
	released bool
}

// NewGrant makes the state of a replica, whose name is unique per process start.
func NewGrant(replica string) *Grant { return &Grant{replica: replica} }

// Held gives the epoch in which this replica may publish now. Ask it right
// before publishing, with a fresh now.
func (g *Grant) Held(now Instant) (api.Epoch, bool) {
	return g.epoch, now < g.until-grantMargin
}

// Request is what to ask the leader, to get the grant and to keep it.
func (g *Grant) Request(now Instant) *kvpb.GrantRequest {
	r := &kvpb.GrantRequest{Replica: g.replica}
	if now < g.until {
		r.Held = &kvpb.Epoch{Term: g.epoch.Term, N: g.epoch.N}
	}
	return r
}

// Release gives the grant up for good; the request tells the leader. Answers
// that are still under way change nothing any more.
func (g *Grant) Release(now Instant) *kvpb.GrantRequest {
	r := g.Request(now)
	r.Release = true
	g.until, g.released = 0, true
	return r
}

// Answer takes the leader's answer to a request that was sent at sent. Answers
// may come in any order: one to an earlier request never takes away nor
// shortens what a later one gave, and an earlier epoch never follows a later.
func (g *Grant) Answer(sent Instant, r *kvpb.GrantResponse) {
	if g.released {
		return
	}
	if !r.Granted {
		if sent > g.sent {
			g.sent, g.until = sent, 0
		}
		return
	}
	epoch := api.Epoch{Term: r.GetEpoch().GetTerm(), N: r.GetEpoch().GetN()}
	if epoch.Compare(g.epoch) < 0 {
		return
	}
	if epoch.Compare(g.epoch) == 0 && sent < g.sent {
		return
	}
	g.epoch = epoch
	g.sent = max(g.sent, sent)
	g.until = sent + Instant(r.ForMillis)*millisecond
}
