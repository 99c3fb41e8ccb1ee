package lock

import (
	"bytes"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Event takes an event of the store.
func (r *Registry) Event(e *kvpb.Event) {
	kv := e.GetKv()
	name, lease, ok := Contender(kv.GetKey())
	if !ok {
		return
	}
	q := r.queues[string(name)]
	if q == nil {
		return
	}
	if e.GetType() == kvpb.Event_DELETE {
		// A contender that came after this deletion has a higher fence.
		r.lose(q, lease, func(w *entry) bool { return w.fence < kv.GetModRevision() })
	}
	if !q.known {
		return // it will be looked at
	}
	mine := bytes.Equal(kv.GetKey(), q.first.GetKey())
	switch {
	case mine && kv.GetModRevision() <= q.first.GetModRevision():
		// The look that found the first contender has seen this event.
	case mine && e.GetType() == kvpb.Event_PUT:
		q.first = kv
		r.settle(q)
	case mine, q.first == nil && e.GetType() == kvpb.Event_PUT:
		q.known = false
		r.look(q)
	}
}

// Looks hands out what is to be looked at.
func (r *Registry) Looks() []Look {
	looks := r.looks
	r.looks = nil
	return looks
}

// Found takes what a look found: the key, or nil.
func (r *Registry) Found(l Look, kv *kvpb.KeyValue) {
	q := r.queues[string(l.Name)]
	if q == nil {
		return // those who waited are gone
	}
	if l.Key == nil {
		q.first, q.known = kv, true
		r.settle(q)
		return
	}
	_, lease, _ := Contender(l.Key)
	r.lose(q, lease, func(w *entry) bool { return w.fence != kv.GetCreateRevision() })
}

// Done hands out the waits that have ended.
func (r *Registry) Done() []Done {
	done := r.done
	r.done = nil
	return done
}

func (r *Registry) look(q *queue) { r.looks = append(r.looks, Look{Name: []byte(q.name)}) }

// lose ends the waits of a lease's contenders that are gone.
func (r *Registry) lose(q *queue, lease int64, gone func(*entry) bool) {
	for _, w := range slices.Clone(q.contenders[lease]) {
		if gone(w) {
			r.end(w, Done{ID: w.id, Lost: true})
		}
	}
}

// settle ends what the first contender decides: its own waits and those of
// observers. It looks at no other contender.
func (r *Registry) settle(q *queue) {
	if _, lease, ok := Contender(q.first.GetKey()); ok {
		for _, w := range slices.Clone(q.contenders[lease]) {
			r.check(w)
		}
	}
	for _, o := range slices.Clone(q.observers) {
		r.check(o)
	}
}

// check ends a wait if what is known decides it.
func (r *Registry) check(e *entry) {
	q := e.queue
	if !q.known {
		return
	}
	decided := q.first.GetModRevision() != e.fence
	if e.lease != 0 && !mutant.Is(mutant.LockForAll) {
		_, lease, _ := Contender(q.first.GetKey())
		decided = lease == e.lease && q.first.GetCreateRevision() == e.fence
	}
	if decided {
		r.end(e, Done{ID: e.id, Leader: q.first})
	}
}

func (r *Registry) end(e *entry, d Done) {
	r.remove(e)
	r.done = append(r.done, d)
}
