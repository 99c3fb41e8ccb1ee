package lease_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/core/lease"
)

// model is a Clock without a queue: it looks at every timer each time.
type model struct {
	timers     map[lease.ID]*modelTimer
	time, last int64
	term       uint64
	leading    bool
}

type modelTimer struct {
	lease.Timer
	deadline           int64
	expiring, inFlight bool
}

func (m *model) begin(t *modelTimer) { t.deadline = m.time + t.TTLMillis*ms }

func (m *model) lead(term uint64, now int64) {
	for _, t := range m.timers {
		t.inFlight = false
		if t.expiring && term == m.term {
			t.deadline = m.time
		} else {
			t.expiring = false
			m.begin(t)
		}
	}
	m.leading, m.term, m.last = true, term, now
}

func (m *model) advance(now int64) {
	if m.leading && now > m.last {
		m.time += min(now-m.last, 200*ms)
		m.last = now
	}
}

func (m *model) renew(id, now int64) error {
	t := m.timers[lease.ID{Lease: id}]
	switch {
	case !m.leading:
		return lease.ErrNotLeading
	case t == nil:
		return lease.ErrNotFound
	case t.expiring:
		return lease.ErrExpiring
	}
	m.advance(now)
	m.begin(t)
	return nil
}

func (m *model) due() (due []lease.Expiry) {
	if !m.leading {
		return nil
	}
	for _, t := range m.timers {
		if !t.inFlight && t.deadline <= m.time {
			t.expiring, t.inFlight = true, true
			due = append(due, lease.Expiry{ID: t.ID, Generation: t.Generation})
		}
	}
	return due
}

// Random calls in any order give what the model gives.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		againstModel(t, seed)
	}
}

func againstModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := lease.New()
	m := &model{timers: map[lease.ID]*modelTimer{}}
	var now int64
	var term, generation uint64
	var given []lease.Expiry
	id := func() lease.ID {
		if n := 1 + rng.Int64N(20); rng.IntN(2) == 0 {
			return lease.ID{Lease: n}
		} else {
			return lease.ID{Key: fmt.Sprint(n)}
		}
	}
	for step := range 500 {
		switch rng.IntN(12) {
		case 0, 1, 2:
			generation++
			timer := lease.Timer{ID: id(), TTLMillis: 1 + rng.Int64N(500), Generation: generation}
			c.Set(timer)
			mt := &modelTimer{Timer: timer}
			m.begin(mt)
			m.timers[timer.ID] = mt
		case 3:
			gone := id()
			c.Cancel(gone)
			delete(m.timers, gone)
		case 4, 5, 6:
			now += rng.Int64N(300 * ms)
			c.Advance(now)
			m.advance(now)
		case 7, 8:
			which, at := 1+rng.Int64N(20), now+rng.Int64N(10*ms)
			_, err := c.Renew(which, at)
			if want := m.renew(which, at); !errors.Is(err, want) {
				t.Fatalf("seed %d, step %d: renewing %d: %v, want %v", seed, step, which, err, want)
			}
		case 9:
			got, want := c.Due(100), m.due()
			given = append(given, got...)
			if slices.SortFunc(got, compare); !slices.Equal(got, sorted(want)) {
				t.Fatalf("seed %d, step %d: %v due, want %v", seed, step, got, want)
			}
		case 10:
			if len(given) > 0 {
				e := given[rng.IntN(len(given))]
				c.Failed(e)
				if mt := m.timers[e.ID]; mt != nil && mt.Generation == e.Generation && mt.inFlight {
					mt.inFlight, mt.deadline = false, m.time+100*ms
				}
			}
		case 11:
			if rng.IntN(4) > 0 {
				break
			}
			term += uint64(rng.IntN(2))
			if c.Follow(); rng.IntN(2) == 0 {
				c.Set(ofLease(3, 50))
				m.timers[lease.ID{Lease: 3}] = &modelTimer{Timer: ofLease(3, 50)}
			}
			c.Lead(term, now)
			m.lead(term, now)
		}
		if c.Len() != len(m.timers) {
			t.Fatalf("seed %d, step %d: %d timers, want %d", seed, step, c.Len(), len(m.timers))
		}
	}
}

func sorted(e []lease.Expiry) []lease.Expiry {
	slices.SortFunc(e, compare)
	return e
}

func compare(a, b lease.Expiry) int {
	return cmp.Or(cmp.Compare(a.Lease, b.Lease), cmp.Compare(a.Key, b.Key))
}

const million = 1_000_000

func loaded() *lease.Clock {
	c := lease.New()
	for i := range int64(million) {
		c.Set(ofLease(i+1, 10_000+i%5000))
	}
	c.Lead(1, 0)
	return c
}

// A million leases: what one renewal costs, a step in which nothing is due, the
// expiry of one, and how many bytes a lease takes.
func BenchmarkMillion(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := loaded()
	runtime.GC()
	runtime.ReadMemStats(&after)
	rng := rand.New(rand.NewPCG(1, 1))
	now := int64(0)
	b.Run("renew", func(b *testing.B) {
		for b.Loop() {
			now += 10_000
			c.Renew(1+rng.Int64N(million), now)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "bytes/lease")
	})
	b.Run("idle step", func(b *testing.B) {
		for b.Loop() {
			c.Advance(now)
			if len(c.Due(1024)) > 0 {
				b.Fatal("something is due")
			}
		}
	})
	b.Run("expiry", func(b *testing.B) {
		for b.Loop() {
			now += 200 * ms
			c.Advance(now)
			for _, e := range c.Due(1) {
				c.Cancel(e.ID)
				c.Set(lease.Timer{ID: e.ID, TTLMillis: 10_000, Generation: 1})
			}
		}
	})
	b.Run("follow and lead", func(b *testing.B) {
		for b.Loop() {
			c.Follow()
			c.Lead(1, now)
		}
	})
}
