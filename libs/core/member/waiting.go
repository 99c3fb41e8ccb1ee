package member

import (
	"slices"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// Waiting holds reads that wait for the state: those that a quorum round has
// confirmed until the round's index is applied, and those that ask for a
// revision. The zero Waiting is empty.
type Waiting struct{ reads []Awaited }

// Awaited are reads that may be served from a state that has applied Index and
// has come to Revision.
type Awaited struct {
	Since    int64 // when they began to wait
	Index    uint64
	Revision int64
	Reads    []replica.Read
}

func (a *Awaited) ready(p *mvcc.Published) bool {
	return p.Index >= a.Index && p.Revision >= a.Revision || mutant.Is(mutant.ReadBeforeApplied)
}

// Await reports whether the reads may be served from p, the newest state. If not,
// they are kept.
func (w *Waiting) Await(a Awaited, p *mvcc.Published) (ready bool) {
	if a.ready(p) {
		return true
	}
	w.reads = append(w.reads, a)
	return false
}

// Published returns the reads that may be served from p, which is newer than
// every state before.
func (w *Waiting) Published(p *mvcc.Published) (ready [][]replica.Read) {
	kept := w.reads[:0]
	for _, a := range w.reads {
		if a.ready(p) {
			ready = append(ready, a.Reads)
		} else {
			kept = append(kept, a)
		}
	}
	w.keep(kept)
	return ready
}

// Late reports whether reads that a quorum has confirmed began to wait before a
// time.
func (w *Waiting) Late(since int64) bool {
	return slices.ContainsFunc(w.reads, func(a Awaited) bool { return a.Index > 0 && a.Since < since })
}

// Expire gives back the reads whose deadline is over.
func (w *Waiting) Expire(now int64) (over []replica.Read) {
	kept := w.reads[:0]
	for _, a := range w.reads {
		var left []replica.Read
		for _, rd := range a.Reads {
			if rd.Deadline < now {
				over = append(over, rd)
			} else {
				left = append(left, rd)
			}
		}
		if a.Reads = left; len(left) > 0 {
			kept = append(kept, a)
		}
	}
	w.keep(kept)
	return over
}

// keep goes on with a part of the reads, in their own place.
func (w *Waiting) keep(kept []Awaited) {
	clear(w.reads[len(kept):])
	w.reads = kept
}
