package lease

import (
	"errors"
	"math"

	"github.com/kvorum/kvorum/libs/core/mutant"
)

// StepMaxNanos is the most that lease time moves in one Advance.
const StepMaxNanos = int64(200_000_000)

// retryNanos is how long after a failed proposal its expiry is due again.
const retryNanos = int64(100_000_000)

// millisecond is in nanoseconds.
const millisecond = int64(1_000_000)

// never is the deadline of what is in flight.
const never = int64(math.MaxInt64)

// Errors of Renew. After ErrExpiring and ErrNotLeading it may be tried again.
var (
	ErrNotFound   = errors.New("lease: the lease does not exist")
	ErrExpiring   = errors.New("lease: the lease has run out and its expiry is under way")
	ErrNotLeading = errors.New("lease: this node does not keep the time of leases")
)

// ID names a timer: that of a lease, or that of a key where Lease is 0.
type ID struct {
	Lease int64
	Key   string
}

// Timer is a lease or key that runs out.
type Timer struct {
	ID
	TTLMillis int64
	// Generation tells apart what had the same ID at different times: where a
	// lease was granted, or a key's mod revision.
	Generation uint64
}

// Expiry is a timer that has run out.
type Expiry struct {
	ID
	Generation uint64
}

// Clock keeps the timers of one node. One goroutine owns it. See the package's
// documentation for the order of calls.
type Clock struct {
	leases map[int64]*timer
	keys   map[string]*timer
	queue  queue // every timer, also what is in flight

	// time is lease time in nanoseconds: it never goes back, and stands while
	// the node follows. Then every timer's deadline is time + its TTL, except
	// those that are expiring, whose deadline is time.
	time    int64
	last    int64 // the owner's time at which time was current
	term    uint64
	leading bool
}

type timer struct {
	id         ID
	ttl        int64 // milliseconds
	generation uint64
	place      int // in the queue
	// expiring: given out by Due in this term and not decided yet.
	expiring bool
}

// New makes a Clock without timers, that does not lead. A node whose whole
// state was replaced takes a new one.
func New() *Clock {
	return &Clock{leading: mutant.Is(mutant.LeaseClockRuns), leases: map[int64]*timer{}, keys: map[string]*timer{}}
}

// Len is the number of timers.
func (c *Clock) Len() int { return len(c.queue) }

// Set begins a timer, in the place of one with the same ID.
func (c *Clock) Set(t Timer) {
	c.Cancel(t.ID)
	n := &timer{id: t.ID, ttl: t.TTLMillis, generation: t.Generation}
	if t.Lease != 0 {
		c.leases[t.Lease] = n
	} else {
		c.keys[t.Key] = n
	}
	c.queue.push(n, c.full(n))
}

// Cancel ends a timer, if there is one.
func (c *Clock) Cancel(id ID) {
	t := c.find(id)
	if t == nil {
		return
	}
	c.queue.remove(t)
	if id.Lease != 0 {
		delete(c.leases, id.Lease)
	} else {
		delete(c.keys, id.Key)
	}
}

// Lead begins to let time pass, in a term. Every timer has its full time to
// live from now, except what already was expiring in the same term: that is due
// at once.
func (c *Clock) Lead(term uint64, now int64) {
	if mutant.Is(mutant.LeaseClockRuns) && c.leading {
		return
	}
	if c.leading {
		c.Follow()
	}
	if term != c.term || mutant.Is(mutant.ExpiryForgotten) {
		for len(c.queue) > 0 && c.queue[0].timer.expiring {
			t := c.queue[0].timer
			t.expiring = false
			c.queue.move(t, c.full(t))
		}
	}
	c.leading, c.term, c.last = true, term, now
}

// Follow stops time. Calling it again does nothing.
func (c *Clock) Follow() {
	if !c.leading || mutant.Is(mutant.LeaseClockRuns) {
		return
	}
	c.leading = false
	for i := range c.queue {
		s := &c.queue[i]
		if s.deadline = c.full(s.timer); s.timer.expiring {
			s.deadline = c.time
		}
	}
	c.queue.order()
}

// Advance moves lease time on to now, by at most StepMaxNanos. It does nothing
// while the node follows and when now is not later than before.
func (c *Clock) Advance(now int64) {
	if c.leading && now > c.last {
		step := min(now-c.last, StepMaxNanos)
		if mutant.Is(mutant.LeaseClockLeaps) {
			step = now - c.last
		}
		c.time += step
		c.last = now
	}
}

// Renew gives a lease its full time to live again, counted from now, to which
// it advances first. It returns that time to live in milliseconds. A lease that
// has run out can be renewed until Due has given it out.
func (c *Clock) Renew(id, now int64) (ttlMillis int64, err error) {
	if !c.leading {
		return 0, ErrNotLeading
	}
	t := c.leases[id]
	switch {
	case t == nil:
		return 0, ErrNotFound
	case t.expiring && !mutant.Is(mutant.RenewExpiring):
		return 0, ErrExpiring
	}
	c.Advance(now)
	c.queue.move(t, c.full(t))
	return t.ttl, nil
}

// Left is a lease's time to live and what is left of it as of the last Advance,
// in milliseconds; 0 is left once it has run out.
func (c *Clock) Left(id int64) (ttlMillis, leftMillis int64, ok bool) {
	t := c.leases[id]
	if t == nil {
		return 0, 0, false
	}
	if !t.expiring {
		leftMillis = max(0, (c.queue[t.place].deadline-c.time)/millisecond)
	}
	return t.ttl, leftMillis, true
}

// Due gives out up to max timers that have run out, those that ran out first
// before others. None of them is given out again before Failed or Lead.
func (c *Clock) Due(max int) []Expiry {
	var due []Expiry
	for c.leading && len(due) < max && len(c.queue) > 0 && c.queue[0].deadline <= c.time {
		t := c.queue[0].timer
		t.expiring = true
		c.queue.move(t, never)
		due = append(due, Expiry{t.id, t.generation})
	}
	return due
}

// Failed tells that the proposal of an expiry was refused or got no outcome. It
// is due again a little later, and cannot be renewed meanwhile.
func (c *Clock) Failed(e Expiry) {
	if t := c.find(e.ID); t != nil && t.generation == e.Generation && c.queue[t.place].deadline == never {
		c.queue.move(t, c.time+retryNanos)
	}
}

// Next is when to call Advance and Due again at the latest, 0 where nothing
// waits. It is never more than StepMaxNanos away: a longer sleep would be lost
// to lease time.
func (c *Clock) Next() int64 {
	if !c.leading || len(c.queue) == 0 || c.queue[0].deadline == never {
		return 0
	}
	return c.last + min(max(c.queue[0].deadline-c.time, 0), StepMaxNanos)
}

func (c *Clock) find(id ID) *timer {
	if id.Lease != 0 {
		return c.leases[id.Lease]
	}
	return c.keys[id.Key]
}

// full is a timer's deadline if it begins now. One that is too far away for the
// numbers is later than any clock will show.
func (c *Clock) full(t *timer) int64 {
	if t.ttl >= (never-c.time)/millisecond {
		return never - 1
	}
	return c.time + t.ttl*millisecond
}
