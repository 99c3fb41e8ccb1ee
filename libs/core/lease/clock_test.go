package lease_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/core/lease"
)

const ms = int64(1_000_000)

func ofLease(id, ttl int64) lease.Timer {
	return lease.Timer{ID: lease.ID{Lease: id}, TTLMillis: ttl, Generation: uint64(id)}
}

func ofKey(key string, ttl int64, generation uint64) lease.Timer {
	return lease.Timer{ID: lease.ID{Key: key}, TTLMillis: ttl, Generation: generation}
}

// leading is a clock that leads in term 1 since 1 s and has one lease 7 of 1 s.
func leading() *lease.Clock {
	c := lease.New()
	c.Set(ofLease(7, 1000))
	c.Lead(1, 1000*ms)
	return c
}

// pass lets time pass in steps of 100 ms and returns what fell due, in order.
func pass(c *lease.Clock, from, to int64) (due []lease.Expiry) {
	for now := from + 100; now <= to; now += 100 {
		c.Advance(now * ms)
		due = append(due, c.Due(100)...)
	}
	return due
}

// Each story ends in the moment before lease 7 is due, in milliseconds; it is
// not due then and is due 1 ms later.
func TestDue(t *testing.T) {
	for name, story := range map[string]func(c *lease.Clock) int64{
		"its time to live after the leadership began": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			return 1999
		},
		"counted from a renewal": func(c *lease.Clock) int64 {
			pass(c, 1000, 1800)
			if ttl, err := c.Renew(7, 1800*ms); ttl != 1000 || err != nil {
				panic(err)
			}
			pass(c, 1800, 2700)
			return 2799
		},
		"a renewal counts from its own time, not from the last step": func(c *lease.Clock) int64 {
			c.Advance(1100 * ms)
			c.Renew(7, 1190*ms)
			pass(c, 1190, 2090)
			return 2189
		},
		"a renewal before anything is given out comes in time": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			c.Advance(2000 * ms)
			if _, err := c.Renew(7, 2000*ms); err != nil {
				panic(err)
			}
			pass(c, 2000, 2900)
			return 2999
		},
		"a pause moves lease time by 200 ms only": func(c *lease.Clock) int64 {
			pass(c, 1000, 1700)
			c.Advance(90_000 * ms)
			return 90_099
		},
		"a renewal after a pause": func(c *lease.Clock) int64 {
			pass(c, 1000, 1700)
			c.Renew(7, 90_000*ms)
			pass(c, 90_000, 90_900)
			return 90_999
		},
		"time that goes back does nothing": func(c *lease.Clock) int64 {
			c.Advance(1100 * ms)
			c.Advance(500 * ms)
			pass(c, 1100, 1900)
			return 1999
		},
		"a later leadership begins anew": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			c.Follow()
			c.Advance(1950 * ms)
			c.Lead(2, 5000*ms)
			pass(c, 5000, 5900)
			return 5999
		},
		"so does one that came back in its term": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			c.Follow()
			c.Lead(1, 5000*ms)
			pass(c, 5000, 5900)
			return 5999
		},
		"and one that was never given up": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			c.Lead(2, 2000*ms)
			pass(c, 2000, 2900)
			return 2999
		},
		"set anew": func(c *lease.Clock) int64 {
			pass(c, 1000, 1900)
			c.Set(ofLease(7, 500))
			pass(c, 1900, 2300)
			return 2399
		},
		"set anew while its expiry is in flight": func(c *lease.Clock) int64 {
			pass(c, 1000, 2000)
			c.Set(ofLease(7, 500))
			pass(c, 2000, 2400)
			return 2499
		},
		"in flight when a later leadership begins": func(c *lease.Clock) int64 {
			pass(c, 1000, 2000)
			c.Lead(2, 2000*ms)
			pass(c, 2000, 2900)
			return 2999
		},
		"a failed expiry is tried again": func(c *lease.Clock) int64 {
			for _, e := range pass(c, 1000, 2000) {
				c.Failed(e)
			}
			return 2099
		},
		"a failed expiry of another generation is not": func(c *lease.Clock) int64 {
			due := pass(c, 1000, 2000)
			c.Set(ofLease(7, 500))
			c.Failed(lease.Expiry{ID: due[0].ID, Generation: 99})
			c.Failed(due[0])
			pass(c, 2000, 2400)
			return 2499
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := leading()
			before := story(c)
			if c.Advance(before * ms); len(c.Due(1)) != 0 {
				t.Errorf("due at %d ms", before)
			}
			c.Advance((before + 1) * ms)
			if due := c.Due(1); len(due) != 1 || due[0] != (lease.Expiry{ID: lease.ID{Lease: 7}, Generation: 7}) {
				t.Errorf("not due at %d ms: %v", before+1, due)
			}
		})
	}
}

// What was given out is not renewable and not given out again until apply
// decides, or a later term.
func TestExpiring(t *testing.T) {
	c := leading()
	due := pass(c, 1000, 60_000)
	if len(due) != 1 {
		t.Fatalf("given out %d times", len(due))
	}
	expiring := func(when string, now int64) {
		t.Helper()
		if _, err := c.Renew(7, now); !errors.Is(err, lease.ErrExpiring) {
			t.Errorf("%s: renewed with %v", when, err)
		}
		if ttl, left, ok := c.Left(7); ttl != 1000 || left != 0 || !ok {
			t.Errorf("%s: %d of %d left, %v", when, left, ttl, ok)
		}
	}
	expiring("in flight", 60_000*ms)
	c.Failed(due[0])
	expiring("failed", 60_000*ms)
	c.Follow()
	if _, err := c.Renew(7, 61_000*ms); !errors.Is(err, lease.ErrNotLeading) {
		t.Errorf("renewed by a follower with %v", err)
	}
	c.Lead(1, 61_000*ms)
	expiring("in the same term again", 61_000*ms)
	if again := c.Due(2); !slices.Equal(again, due) {
		t.Errorf("in the same term %v is due, want %v", again, due)
	}
	expiring("in flight again", 61_000*ms)
	c.Follow()
	c.Lead(2, 62_000*ms)
	if _, err := c.Renew(7, 62_000*ms); err != nil {
		t.Errorf("not renewed in a later term: %v", err)
	}
	if due := c.Due(1); len(due) != 0 {
		t.Errorf("%v is due in a later term", due)
	}
	c.Cancel(lease.ID{Lease: 7})
	if _, err := c.Renew(7, 62_000*ms); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("a lease that is gone is renewed with %v", err)
	}
	if _, _, ok := c.Left(7); ok || c.Len() != 0 || c.Next() != 0 {
		t.Errorf("a lease that is gone is there")
	}
	c.Failed(due[0])
	c.Cancel(lease.ID{Lease: 7})
}

func TestNext(t *testing.T) {
	c := lease.New()
	next := func(when string, want int64) {
		t.Helper()
		if got := c.Next(); got != want*ms {
			t.Errorf("%s: next at %d ms, want %d", when, got/ms, want)
		}
	}
	c.Set(ofKey("a", 150, 1))
	c.Set(ofKey("b", 1000, 2))
	next("following", 0)
	c.Lead(1, 5000*ms)
	next("leading", 5150)
	c.Cancel(lease.ID{Key: "a"})
	next("the next is far away", 5200)
	due := pass(c, 5000, 5900)
	c.Advance(6100 * ms)
	next("overdue", 6100)
	if due = append(due, c.Due(9)...); len(due) != 1 {
		t.Errorf("%v is due", due)
	}
	next("in flight", 0)
	c.Failed(due[0])
	next("failed", 6200)
}

// A lease and a key do not meet, and the longest time to live does not overflow.
func TestKinds(t *testing.T) {
	c := lease.New()
	c.Set(ofLease(1, math.MaxInt64))
	c.Set(ofLease(2, 9_000_000_000_000))
	c.Set(ofKey("", 100, 5))
	c.Set(ofKey("x", 200, 6))
	c.Lead(1, 0)
	want := []lease.Expiry{{ID: lease.ID{}, Generation: 5}, {ID: lease.ID{Key: "x"}, Generation: 6}}
	if due := pass(c, 0, 100_000); !slices.Equal(due, want) {
		t.Errorf("%v is due, want %v", due, want)
	}
	if _, left, _ := c.Left(2); left != 9_000_000_000_000-100_000 {
		t.Errorf("%d ms left", left)
	}
	if _, err := c.Renew(1, 100_000*ms); err != nil || len(pass(c, 100_000, 200_000)) != 0 {
		t.Errorf("the longest time to live: %v", err)
	}
}

// What runs out together comes in portions, earlier ones first.
func TestPortions(t *testing.T) {
	c := lease.New()
	for i := range int64(1000) {
		c.Set(ofKey(fmt.Sprint(i), 100+(i*7919)%1000, uint64(i)))
	}
	c.Lead(1, 0)
	for now := int64(200); now <= 1200; now += 200 {
		c.Advance(now * ms)
	}
	last, n := int64(0), 0
	for due := c.Due(64); len(due) > 0; due = c.Due(64) {
		if len(due) > 64 {
			t.Fatalf("%d at once", len(due))
		}
		for _, e := range due {
			ttl := 100 + int64(e.Generation)*7919%1000
			if ttl < last {
				t.Fatalf("%d ms after %d ms", ttl, last)
			}
			last = ttl
			n++
		}
	}
	if n != 1000 {
		t.Errorf("%d came", n)
	}
}
