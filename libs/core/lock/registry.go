package lock

import (
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// WaitersMax bounds who waits on one node, contenders and observers together.
const WaitersMax = 100_000

// Waiter is a contender that waits for its turn.
type Waiter struct {
	Name  []byte
	Lease int64
	Fence int64
}

// Registry knows who waits. One goroutine owns it. After any inputs the owner
// works off what the registry wants to look at, and then what is done:
//
//	r.Wait(...) / r.Observe(...) / r.Event(...)
//	for _, l := range r.Looks() { r.Found(l, ...) }
//	for _, d := range r.Done() { ... }
//
// Nothing else is called in between, and the state that is looked at is at least
// as new as the events given so far. Events come in order, without a gap since
// somebody waits; those of keys that are no contenders are ignored.
type Registry struct {
	queues  map[string]*queue
	waiting map[uint64]*entry
	looks   []Look
	done    []Done
}

// Look is a question to the state: for the key, or with no key for the
// contender with the lowest create revision of the name.
type Look struct {
	Name []byte
	Key  []byte
}

// Done is a wait that has ended.
type Done struct {
	ID uint64
	// Lost: the contender is not in the queue any more.
	Lost bool
	// Leader is the holder, as of when the wait ended: of a contender that was
	// not lost, itself. An observer's is nil where nobody holds the name.
	Leader *kvpb.KeyValue
}

// queue is what is known of a name that somebody waits for.
type queue struct {
	name       string
	contenders map[int64][]*entry // by lease
	observers  []*entry
	members    int // contenders and observers
	known      bool
	first      *kvpb.KeyValue // where known; nil: nobody
}

// entry is a contender that waits, or an observer, whose lease is 0.
type entry struct {
	id    uint64
	queue *queue
	lease int64
	// fence is a contender's; an observer waits for another mod revision of
	// the first contender than this.
	fence int64
}

// NewRegistry makes a Registry in which nobody waits.
func NewRegistry() *Registry {
	return &Registry{queues: map[string]*queue{}, waiting: map[uint64]*entry{}}
}

// Len is how many wait.
func (r *Registry) Len() int { return len(r.waiting) }

// Wait lets a contender wait for its turn, under an id of the owner's that
// nobody else waits with. The error is overloaded.
func (r *Registry) Wait(id uint64, w Waiter) error {
	e, err := r.add(id, w.Name, w.Lease, w.Fence)
	if err != nil {
		return err
	}
	e.queue.contenders[w.Lease] = append(e.queue.contenders[w.Lease], e)
	r.check(e)
	// Its key may be gone since it was put. From now on events will tell.
	r.looks = append(r.looks, Look{Name: w.Name, Key: Key(w.Name, w.Lease)})
	return nil
}

// Observe lets an observer wait until the name's holder or its value is another
// than that of mod revision after, 0 for nobody. The error is overloaded.
func (r *Registry) Observe(id uint64, name []byte, after int64) error {
	e, err := r.add(id, name, 0, after)
	if err != nil {
		return err
	}
	e.queue.observers = append(e.queue.observers, e)
	r.check(e)
	return nil
}

func (r *Registry) add(id uint64, name []byte, lease, fence int64) (*entry, error) {
	if len(r.waiting) >= WaitersMax {
		return nil, api.Errorf(api.KindOverloaded, "%d requests wait for locks on this node: try again later", WaitersMax)
	}
	q := r.queues[string(name)]
	if q == nil {
		q = &queue{name: string(name), contenders: map[int64][]*entry{}}
		r.queues[q.name] = q
		r.look(q)
	}
	e := &entry{id: id, queue: q, lease: lease, fence: fence}
	q.members++
	r.waiting[id] = e
	return e, nil
}

// remove forgets an entry, and with the last one its queue.
func (r *Registry) remove(e *entry) {
	q := e.queue
	delete(r.waiting, e.id)
	same := func(o *entry) bool { return o == e }
	if e.lease == 0 {
		q.observers = slices.DeleteFunc(q.observers, same)
	} else if q.contenders[e.lease] = slices.DeleteFunc(q.contenders[e.lease], same); len(q.contenders[e.lease]) == 0 {
		delete(q.contenders, e.lease)
	}
	if q.members--; q.members == 0 {
		delete(r.queues, q.name)
	}
}

// Cancel ends a wait without an outcome, as when its time is over.
func (r *Registry) Cancel(id uint64) {
	if e := r.waiting[id]; e != nil {
		r.remove(e)
	}
}

// Clear ends all waits, as when the leadership is lost, and returns their ids.
func (r *Registry) Clear() []uint64 {
	ids := make([]uint64, 0, len(r.waiting))
	for id := range r.waiting {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	*r = *NewRegistry()
	return ids
}
