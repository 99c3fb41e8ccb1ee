package fanout

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// When a replica does what. There is one request for the grant at a time: with
// a second one the leader would take the replica for one that does not know its
// epoch. An answer has grantTimeout, or, where that was too short, GrantPatience.
const (
	// RenewEvery is how often the grant is asked for, RetryAfter how soon again
	// when nobody answered.
	RenewEvery = 150 * millisecond
	RetryAfter = 50 * millisecond
	// GrantPatience is how long an answer to a request for the grant may take.
	GrantPatience = 450 * millisecond
	grantTimeout  = 250 * millisecond
	// BeatEvery is how often tails and progress are published.
	BeatEvery = 250 * millisecond
	// silence is how long a standby hears no progress before it asks for the
	// grant: while it does, another holds it.
	silence = BeatEvery + 100*millisecond
)

// Replica is one life of a replica of the fan-out: whether it may publish, and
// what. It belongs to one goroutine.
//
// It begins by asking for the grant, to know where to follow the feed from: the
// end of the store, if it is granted, or what another holder's progress tells.
// Then Begin, and after every input Settle and what Publish gives.
type Replica struct {
	limits    Limits
	grant     *Grant
	publisher *Publisher // nil until Begin
	compacted int64
	asking    bool    // a request for the grant is under way
	patience  Instant // with it
	heard     Instant // when progress of another holder came last; 0: never
	term      uint64  // of the leader that answered last
	routes    uint64  // at the last beat
}

// NewReplica makes a replica whose name is unique per life.
func NewReplica(name string, l Limits) *Replica {
	return &Replica{limits: l, grant: NewGrant(name), patience: grantTimeout}
}

// Ask gives the request for the grant to send now, and how long its answer may
// take; nil while one is under way, and for a standby while it hears of another
// holder.
func (r *Replica) Ask(now Instant) (request *kvpb.GrantRequest, patience Instant) {
	if r.asking {
		return nil, 0
	}
	if _, held := r.grant.Held(now); !held && r.heard > 0 && now < r.heard+silence {
		return nil, 0
	}
	r.asking = true
	if r.publisher == nil {
		r.patience = GrantPatience
	}
	return r.grant.Request(now), r.patience
}

// Answered takes the answer to the request that was sent at a time, nil for
// none. late: it did not come in time. again: another leader answers, so that
// the one that the feed was last asked of may be gone: ask anew.
func (r *Replica) Answered(sent Instant, answer *kvpb.GrantResponse, late bool) (again bool) {
	r.asking, r.patience = false, grantTimeout
	if answer == nil {
		if late {
			r.patience = GrantPatience
		}
		return false
	}
	r.grant.Answer(sent, answer)
	term := answer.GetEpoch().GetTerm()
	again = r.term != term
	r.term = term
	return again
}

// Begin follows the feed from a position on.
func (r *Replica) Begin(start api.Position) { r.publisher = NewPublisher(r.limits, start) }

// Begun tells that Begin was called.
func (r *Replica) Begun() bool { return r.publisher != nil }

// Page takes the next page of the feed. Call it only while Room.
func (r *Replica) Page(p *kvpb.FeedResponse) {
	r.compacted = max(r.compacted, p.Compacted)
	r.publisher.Add(p.Events, positionFrom(p.Through))
}

// Restart takes that what followed in the feed is compacted, and that it goes
// on from a position. Watchers learn it from what their questions are answered.
func (r *Replica) Restart(start api.Position) { r.publisher.Reset(start) }

// Room tells that the feed's next page may be taken.
func (r *Replica) Room() bool { return r.publisher.Room() }

// Progress takes a progress message of the bus, also its own.
func (r *Replica) Progress(through api.Position, now Instant) {
	if _, holding := r.publisher.Holding(); !holding {
		r.heard = now
	}
	r.publisher.Skip(through)
}

// Released takes that the holder gave the grant up.
func (r *Replica) Released() { r.heard = 0 }

// Beat is due every BeatEvery, with the routes as for Publisher.Over. again: they
// are others than at the last beat. What the feed was asked may be lost with one:
// ask anew.
func (r *Replica) Beat(routes uint64) (again bool) {
	r.publisher.Beat()
	again = r.routes != routes
	r.routes = routes
	return again
}

// Settle makes the role follow the grant. changed tells that it did; then
// requests are taken while it holds the grant, and only then.
func (r *Replica) Settle(now Instant) (holding, changed bool) {
	epoch, held := r.grant.Held(now)
	in, was := r.publisher.Holding()
	switch {
	case held && (!was || in != epoch):
		r.publisher.Take(epoch)
		return true, true
	case !held && was:
		r.publisher.Lose()
		return false, true
	}
	return was, false
}

// Waiting tells that Publish may have something.
func (r *Replica) Waiting() bool { return r.publisher.Batch() != nil }

// Publish gives what to publish now, in this order on the one connection that
// answers go to, if the grant holds at this moment: Over it, then call Done.
func (r *Replica) Publish(now Instant) []Message {
	in, _ := r.publisher.Holding()
	if epoch, held := r.grant.Held(now); !held || epoch != in {
		return nil // Settle does what follows
	}
	return r.publisher.Batch()
}

// Over gives what Publish gave, as it is to be sent over the routes that there
// are right now. See Publisher.Over.
func (r *Replica) Over(routes func() uint64) []Message {
	r.publisher.Over(routes)
	return r.publisher.Batch()
}

// Done tells that what Publish gave was published. Only then Snapshot may be
// shown to those who answer requests.
func (r *Replica) Done() { r.publisher.Done() }

// Release gives the grant up for good. held: the leader is to be told by the
// request.
func (r *Replica) Release(now Instant) (request *kvpb.GrantRequest, held bool) {
	_, held = r.grant.Held(now)
	return r.grant.Release(now), held
}

// Snapshot is what requests are answered from now.
func (r *Replica) Snapshot() *Snapshot {
	return &Snapshot{view: r.publisher.View(), grant: *r.grant, sequence: r.publisher.Sequence(), compacted: r.compacted}
}
