package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bench holds what all rows share.
type bench struct {
	home  string // the folder of the system that runs
	time  time.Duration
	quiet time.Duration // after a fill
	keys  int           // how many keys the load writes and reads
	value []byte
	// profile is called when a measurement begins and gives what waits for it to
	// be saved.
	profile func(ctx context.Context) (wait func())
}

func newBench(o options) *bench {
	return &bench{
		time: o.time, quiet: o.quiet, keys: o.keys, value: []byte(strings.Repeat("x", o.valueBytes)),
		profile: func(context.Context) func() { return func() {} },
	}
}

func (b *bench) key(i int) string { return fmt.Sprintf("%s%08d", prefix, i) }

// window measures for a time what goes on meanwhile, after a lead-in. begin and
// end are called at its ends.
func (b *bench) window(ctx context.Context, servers *group, d time.Duration, begin, end func()) result {
	sleep(ctx, d/5)
	m := measureFrom(servers)
	begin()
	wait := b.profile(ctx)
	sleep(ctx, d)
	end()
	r := m.result()
	wait()
	return r
}

// measure is a measurement that has begun.
type measure struct {
	servers *group
	before  usage
	driver  float64
	began   time.Time
}

func measureFrom(servers *group) measure {
	return measure{servers, servers.usage(), driverCPU(), time.Now()}
}

func (m measure) result() result {
	return result{Elapsed: time.Since(m.began), DriverCPU: driverCPU() - m.driver, usage: m.servers.usage().since(m.before)}
}

// closedLoop has clients do one operation after the other, and counts those that
// end in the window. It fails if more than one in a hundred does.
func (b *bench) closedLoop(ctx context.Context, servers *group, clients int, do func(ctx context.Context, client, i int) error) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var counting atomic.Bool
	var errs tally
	all := newLatencies()
	var mu sync.Mutex // over all
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			mine := newLatencies()
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				err := do(ctx, c, i)
				switch {
				case ctx.Err() != nil:
				case err != nil:
					errs.add(err) // in the lead-in too: it should have none
					sleep(ctx, errorPause)
				case counting.Load():
					mine.record(time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(mine.Histogram)
		})
	}
	r := b.window(ctx, servers, b.time, func() { counting.Store(true) }, func() { counting.Store(false) })
	cancel()
	wg.Wait()
	r.Ops, r.latency = all.TotalCount(), all.summary()
	first := errs.first
	if errs.into(&r); r.Errors*100 > r.Ops {
		return r, fmt.Errorf("%d errors beside %d operations: %w", r.Errors, r.Ops, first)
	}
	return r, nil
}

// errorPause is how long a client waits after an error.
const errorPause = 5 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
