package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// locks are the requests that wait on the leader: contenders for their turn and
// observers for another holder. What they wait for is replicated state, so that
// nothing is lost with a leadership but the waiting itself.
//
// Its goroutine owns the registry; others hand it what to do. Who begins to
// wait is handed over before the events that follow, and whoever is told that
// he may go on is answered after a quorum round.
type locks struct {
	log     *slog.Logger
	box     *mailbox
	propose func(replica.Proposal)
	current func() *mvcc.Published
	queue   *queue[func()]
	// waits counts those who wait or are about to. events are those that were
	// handed over and not looked at.
	waits, events atomic.Int64

	registry *lock.Registry
	waiting  map[uint64]*waiter
	next     uint64 // id of the next waiter
	term     uint64 // that this node leads, 0 for none
}

func newLocks(n *Node) *locks {
	return &locks{
		log: n.log, box: n.box, propose: n.propose, current: n.published, queue: newQueue[func()](),
		registry: lock.NewRegistry(), waiting: map[uint64]*waiter{},
	}
}

// waiter is a request that waits.
type waiter struct {
	*request
	locks *locks
	term  uint64        // of the leadership that it waits under
	wait  time.Duration // from the request's beginning
	// lease is one that was granted for the request: it is kept alive meanwhile.
	lease int64
	// enter has the registry wait for the right moment.
	enter func(id uint64) error
	// answer is made from the state then, or when the wait is over. first: the
	// registry says that it is this contender's turn.
	answer func(p *mvcc.Published, first bool) (answer, error)
	first  bool
	timer  *time.Timer
}

// run works until ctx ends.
func (l *locks) run(ctx context.Context) {
	for {
		todo := l.queue.take(ctx)
		if todo == nil {
			return
		}
		for _, fn := range todo {
			fn()
		}
		l.settle()
	}
}

// begin lets a request wait.
func (l *locks) begin(w *waiter) {
	l.waits.Add(1)
	l.queue.put(func() { l.add(w) })
}

func (l *locks) add(w *waiter) {
	left := w.wait - time.Since(w.began)
	switch {
	case w.term != l.term:
		l.drop(w, lock.ErrMoved())
	case left <= 0:
		l.finish(w)
	case len(l.waiting) >= waitersMax:
		l.drop(w, api.Errorf(api.KindOverloaded, "%d requests wait on this node: ask again later with the same %s", waitersMax, api.HeaderMsgID))
	default:
		l.next++
		id := l.next
		if err := w.enter(id); err != nil {
			l.drop(w, err)
			return
		}
		l.waiting[id] = w
		w.timer = time.AfterFunc(left, func() {
			l.queue.put(func() { l.over(id) })
		})
		if w.lease != 0 {
			l.box.do(func(c *consensus) { c.member.Leases.Keep(w.lease) })
		}
	}
}

// over ends a wait whose time has come.
func (l *locks) over(id uint64) {
	if w := l.waiting[id]; w != nil {
		l.registry.Cancel(id)
		l.remove(id, w)
		l.finish(w)
	}
}

func (l *locks) remove(id uint64, w *waiter) {
	delete(l.waiting, id)
	w.timer.Stop()
	if w.lease != 0 {
		l.box.do(func(c *consensus) { c.member.Leases.Release(w.lease) })
	}
}

// changed takes the events of an apply. Nobody is looked for in vain: without
// waiters nothing is handed over.
func (l *locks) changed(events []*kvpb.Event) {
	if l.waits.Load() == 0 {
		return
	}
	var of []*kvpb.Event
	for _, e := range events {
		if _, _, ok := lock.Contender(e.Kv.Key); ok {
			of = append(of, e)
		}
	}
	if len(of) == 0 {
		return
	}
	if n := int64(len(of)); l.events.Add(n) > lockEventsMax {
		l.events.Add(-n)
		l.queue.put(func() {
			l.clear(api.Errorf(api.KindOverloaded, "this node has fallen behind with telling who holds what: ask again with the same %s", api.HeaderMsgID))
		})
		return
	}
	l.queue.put(func() {
		l.events.Add(-int64(len(of)))
		for _, e := range of {
			l.registry.Event(e)
		}
	})
}

// settle looks at the state where the registry asks for it, and answers.
func (l *locks) settle() {
	for looks := l.registry.Looks(); len(looks) > 0; looks = l.registry.Looks() {
		p := l.current()
		for _, look := range looks {
			kv, err := lookAt(p, look)
			if err != nil {
				l.log.Warn("reading who holds a lock failed: those who wait are to ask again", "error", err)
				l.clear(lock.ErrMoved())
				return
			}
			l.registry.Found(look, kv)
		}
	}
	for _, d := range l.registry.Done() {
		if w := l.waiting[d.ID]; w != nil {
			l.remove(d.ID, w)
			w.first = !d.Lost
			l.finish(w)
		}
	}
}

// lookAt finds a key, or a name's first contender; nil for none.
func lookAt(p *mvcc.Published, look lock.Look) (*kvpb.KeyValue, error) {
	if look.Key == nil {
		kvs, err := p.Contenders(look.Name, 1)
		if err != nil || len(kvs) == 0 {
			return nil, err
		}
		return kvs[0], nil
	}
	return getKey(p, look.Key)
}

func getKey(p *mvcc.Published, key []byte) (*kvpb.KeyValue, error) {
	resp, err := p.Range(&kvpb.RangeRequest{Key: key, KeysOnly: true})
	if err != nil || len(resp.Kvs) == 0 {
		return nil, err
	}
	return resp.Kvs[0], nil
}

// finish answers after a quorum round, which began after the last renewal of
// the lease that was granted for the request.
func (l *locks) finish(w *waiter) {
	l.waits.Add(-1)
	l.box.do(func(c *consensus) {
		now := c.clock()
		if w.lease != 0 {
			_, _ = c.member.Leases.Renew(w.lease, now) // if it is gone, the state says so
		}
		c.member.Replica.Read(replica.Read{Deadline: now + int64(holdTimeout), Term: w.term, Tag: w})
	})
}

func (l *locks) drop(w *waiter, err error) {
	l.waits.Add(-1)
	w.fail(err)
}

// clear ends all waits with an error.
func (l *locks) clear(err error) {
	l.registry.Clear()
	for id, w := range l.waiting {
		l.remove(id, w)
		l.drop(w, err)
	}
}

// onRole runs on the consensus goroutine.
func (l *locks) onRole(role replica.Role) {
	var term uint64
	if role.Leading {
		term = role.Term
	}
	l.queue.put(func() {
		if term != l.term {
			l.term = term
			l.clear(lock.ErrMoved())
		}
	})
}

// stop answers all who wait, because the node stops.
func (l *locks) stop(ctx context.Context) {
	done := make(chan struct{})
	l.queue.put(func() {
		l.term = 0
		l.clear(lock.ErrMoved())
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// run is reader's.
func (w *waiter) run(p *mvcc.Published) {
	a, err := w.answer(p, w.first)
	if err != nil {
		w.request.fail(err)
		return
	}
	w.reply(a)
}

// fail tells that waiting on helps, where nothing else is wrong.
func (w *waiter) fail(err error) {
	if api.KindOf(err) == api.KindNoLeader {
		err = lock.ErrMoved()
	}
	w.request.fail(err)
}
