//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// leaseWork is the clients that grant leases, keep them alive for a while and
// see them end.
type leaseWork struct {
	l       *load
	mu      sync.Mutex
	seen    []check.Lease
	expired int
}

func startLeases(l *load) (*leaseWork, error) {
	work := &leaseWork{l: l}
	for i := range leaseClients {
		c, err := l.dial(i)
		if err != nil {
			return nil, err
		}
		rng := rand.New(rand.NewPCG(uint64(l.phase), uint64(100+i)))
		l.writing.Go(func() {
			defer c.Close()
			for l.ctx.Err() == nil {
				work.one(c, i, rng)
			}
		})
	}
	return work, nil
}

// one is the life of one lease. Failures of the cluster end it early; that is no
// fault of the lease.
func (work *leaseWork) one(c *client.Client, i int, rng *rand.Rand) {
	ttl := time.Duration(1000+rng.IntN(3000)) * time.Millisecond
	sent := work.l.rec.now()
	lease, err := c.GrantLease(work.l.ctx, ttl)
	if err != nil {
		return
	}
	x := &check.Lease{ID: lease.ID, TTL: ttl.Nanoseconds(), Renewed: []int64{sent}}
	defer func() {
		work.mu.Lock()
		defer work.mu.Unlock()
		work.seen = append(work.seen, *x)
	}()
	key := fmt.Sprintf("/lease/%d/%016x", i, uint64(x.ID))
	if _, err := c.Put(work.l.ctx, key, []byte(key), client.WithLease(x.ID)); err != nil {
		if errors.Is(err, client.ErrLeaseNotFound) {
			work.gone(x, "a put was told so")
		}
		return
	}
	for range rng.IntN(6) {
		if !work.wait(ttl/3) || !work.renew(c, x) {
			return
		}
	}
	if rng.IntN(4) == 0 {
		x.Ended = work.l.rec.now()
		_, _ = c.RevokeLease(work.l.ctx, x.ID) // a failure leaves it to run out
		return
	}
	work.watchEnd(c, x, key)
}

// renew reports whether the lease may go on.
func (work *leaseWork) renew(c *client.Client, x *check.Lease) bool {
	ctx, cancel := context.WithTimeout(work.l.ctx, time.Duration(x.TTL))
	defer cancel()
	sent := work.l.rec.now()
	leases, err := c.KeepAlive(ctx, x.ID)
	if err != nil || len(leases) != 1 {
		return true
	}
	switch err := leases[0].Err; {
	case err == nil:
		x.Renewed = append(x.Renewed, sent)
	case errors.Is(err, client.ErrLeaseNotFound):
		work.gone(x, "a keep-alive was told so")
		return false
	}
	return true
}

// watchEnd asks for the key until it is gone.
func (work *leaseWork) watchEnd(c *client.Client, x *check.Lease, key string) {
	for work.wait(100 * time.Millisecond) {
		_, err := c.Get(work.l.ctx, key)
		if errors.Is(err, client.ErrNotFound) {
			work.gone(x, "its key was")
			work.mu.Lock()
			work.expired++
			work.mu.Unlock()
			return
		}
	}
}

// gone takes note of a lease that was seen to be over.
func (work *leaseWork) gone(x *check.Lease, how string) {
	x.Gone, x.How = work.l.rec.now(), how
}

func (work *leaseWork) wait(d time.Duration) bool {
	select {
	case <-work.l.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
