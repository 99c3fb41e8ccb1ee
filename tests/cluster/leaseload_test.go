package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
)

// pulse puts one key again and again and notes how long each took.
type pulse struct {
	mu    sync.Mutex
	took  []time.Duration
	cause error
}

func (p *pulse) run(ctx context.Context, cl *client.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		_, err := cl.Put(ctx, "/pulse", []byte(fmt.Sprint(n)))
		p.mu.Lock()
		if err == nil {
			p.took = append(p.took, time.Since(began))
		} else if ctx.Err() == nil {
			p.cause = err
		}
		p.mu.Unlock()
	}
}

// take gives the quantiles since the last call.
func (p *pulse) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.took
	p.took = nil
	if len(took) == 0 {
		return "no puts"
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d puts, p50 %v p99 %v max %v", len(took), at(0.5), at(0.99), took[len(took)-1].Round(10*time.Microsecond))
}

// each runs fn for 0 to n-1, side by side over several connections.
func each(t *testing.T, c *harness.Cluster, n int, fn func(s *shell, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		s := shellOf(t, c.Client())
		for range 24 {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					fn(s, i)
				}
			})
		}
	}
	wg.Wait()
}

// A hundred thousand leases with a key each that run out within a second: every
// key goes, once and as expired, and writes go on meanwhile.
func TestManyLeasesEndTogether(t *testing.T) {
	leases, ttl := 100_000, time.Minute
	if testing.Short() {
		leases, ttl = 10_000, 10*time.Second
	}
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	cl := c.Client()
	began := time.Now()
	id := func(i int) string { return fmt.Sprintf("%016x", i+1) }
	each(t, c, leases, func(s *shell, i int) {
		s.must("kv.lease.grant", fmt.Sprintf(`{"id":%q,"ttl":%q}`, id(i), ttl))
		s.must(fmt.Sprintf("kv.put.many.%d", i), "x", api.HeaderLease, id(i))
	})
	t.Logf("%d leases granted, with a key each, in %v", leases, time.Since(began).Round(time.Millisecond))
	leader := c.Nodes[c.Leader()]
	before := leader.ResidentBytes()

	// Renewed together, they end together.
	began = time.Now()
	each(t, c, leases/api.MaxKeepAliveIDs, func(s *shell, n int) {
		ids := make([]string, api.MaxKeepAliveIDs)
		for i := range ids {
			ids[i] = id(n*len(ids) + i)
		}
		errs, err := s.renew(ids...)
		if err != nil || slices.ContainsFunc(errs, func(e string) bool { return e != "" }) {
			t.Errorf("renewing: %v", err)
		}
	})
	t.Logf("all renewed within %v", time.Since(began).Round(time.Millisecond))

	w, err := cl.Watch(ctx, client.Prefix("/many/"))
	if err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	p := &pulse{}
	for range 4 {
		go p.run(writing, c.Client())
	}
	var first time.Time
	gone := map[string]bool{}
	for rev, err := range w.Revisions() {
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() {
			first = time.Now()
			t.Logf("meanwhile: %s", p.take())
		}
		for _, e := range rev.Events {
			if !e.Delete || !e.Expired || gone[e.KV.Key] {
				t.Fatalf("event %+v", e)
			}
			gone[e.KV.Key] = true
		}
		if len(gone) == leases {
			break
		}
	}
	t.Logf("all ended within %v, first seen %v after the renewals began; puts meanwhile: %s",
		time.Since(first).Round(time.Millisecond), first.Sub(began).Round(time.Millisecond), p.take())
	t.Logf("the leader's memory went from %d to %d MiB", before>>20, leader.ResidentBytes()>>20)
	if p.cause != nil {
		t.Errorf("a put failed: %v", p.cause)
	}
	s := shellOf(t, cl)
	if list := s.must("kv.lease.list", "{}"); len(list.IDs) != 0 {
		t.Errorf("%d leases are left", len(list.IDs))
	}
	if n := s.count("/many/"); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}
