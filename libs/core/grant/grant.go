// Package grant is the leader's side of the choice which fan-out replica
// publishes: one at a time, for Period, as long as it asks again in time.
//
// It keeps down repetitions and is not what a watcher's guarantees rest on:
// those follow from positions and epochs. So a grant is memory of the leader's
// alone, and a new leader waits until any grant of its predecessor has run
// out, unless the asker itself shows that it holds it.
//
// Time is an argument: nanoseconds of a monotonic clock.
package grant

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Period is how long a grant lasts from the moment it was asked for, in
// nanoseconds. Both sides count from a time that is on the safe side: the
// holder from when it sent the request, the leader from when it answered.
const Period = int64(500_000_000)

// Leader gives grants during one node's leadership. The zero Leader gives none.
type Leader struct {
	term   uint64
	since  int64 // when the term was taken up here
	n      uint64
	holder string
	until  int64
}

// Lead begins a term at a time. Calling it again with the same term does nothing.
func (l *Leader) Lead(term uint64, now int64) {
	if l.term != term {
		*l = Leader{term: term, since: now}
	}
}

// Answer answers a request. Do so only after a quorum round that began when it
// had come in, and only while this node serves as the leader.
func (l *Leader) Answer(r *kvpb.GrantRequest, now int64) *kvpb.GrantResponse {
	answer := &kvpb.GrantResponse{ForMillis: Period / 1_000_000}
	if r.Release {
		l.Release(r.Replica)
		return answer
	}
	epoch, granted := l.Ask(r.Replica, api.Epoch{Term: r.Held.GetTerm(), N: r.Held.GetN()}, now)
	answer.Granted, answer.Holder = granted, l.Holder(now)
	answer.Epoch = &kvpb.Epoch{Term: epoch.Term, N: epoch.N}
	return answer
}

// Ask answers a replica that wants to publish, or to go on. held is the grant
// that it still holds, the zero Epoch for none; a replica only names one that
// has not run out by its own clock.
func (l *Leader) Ask(replica string, held api.Epoch, now int64) (epoch api.Epoch, granted bool) {
	switch {
	case l.term == 0:
		return api.Epoch{}, false
	case replica == l.holder && now <= l.until && held == l.epoch():
		// It goes on.
	case l.holder != "" && now <= l.until && replica != l.holder:
		if mutant.Is(mutant.TwoPublishers) {
			break
		}
		return l.epoch(), false
	case l.holder == "" && held.Term == 0 && now-l.since < Period:
		return l.epoch(), false // a predecessor's grant may still run
	default:
		l.n++
		l.holder = replica
	}
	l.until = now + Period
	return l.epoch(), true
}

// Release ends the holder's grant now.
func (l *Leader) Release(replica string) {
	if l.holder == replica {
		l.until = 0
	}
}

// Holder is who holds the grant, "" for nobody.
func (l *Leader) Holder(now int64) string {
	if now > l.until {
		return ""
	}
	return l.holder
}

func (l *Leader) epoch() api.Epoch { return api.Epoch{Term: l.term, N: l.n} }
