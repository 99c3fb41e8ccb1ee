package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// op does the i-th operation of a client.
type op func(ctx context.Context, client, i int) error

// result is what one closed loop gave.
type result struct {
	Ops     int64         `json:"ops"`
	Errors  int64         `json:"errors"`
	Elapsed time.Duration `json:"elapsedNanos"`
	P50     float64       `json:"p50Millis"`
	P99     float64       `json:"p99Millis"`
	P999    float64       `json:"p999Millis"`
	usage
}

// perSecond is the throughput.
func (r result) perSecond() float64 { return float64(r.Ops) / r.Elapsed.Seconds() }

// cpuPer10k is the servers' CPU time for 10,000 operations, seconds.
func (r result) cpuPer10k() float64 {
	if r.Ops == 0 {
		return 0
	}
	return r.CPUSeconds / float64(r.Ops) * 10_000
}

// closedLoop has clients do one operation after the other for a while, after a
// fifth of that time that does not count.
func closedLoop(ctx context.Context, servers *group, clients int, d time.Duration, do op) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var counting atomic.Bool
	var errs atomic.Int64
	var first atomic.Pointer[error]
	histograms := make([]*hdrhistogram.Histogram, clients)
	var wg sync.WaitGroup
	for c := range clients {
		h := newHistogram()
		histograms[c] = h
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				counted := counting.Load()
				began := time.Now()
				err := do(ctx, c, i)
				took := time.Since(began)
				switch {
				case ctx.Err() != nil || !counted || !counting.Load():
				case err != nil:
					errs.Add(1)
					first.CompareAndSwap(nil, &err)
				default:
					record(h, took)
				}
			}
		})
	}
	sleep(ctx, d/5)
	before, began := servers.usage(), time.Now()
	counting.Store(true)
	sleep(ctx, d)
	counting.Store(false)
	r := result{Elapsed: time.Since(began), Errors: errs.Load(), usage: servers.usage().since(before)}
	cancel()
	wg.Wait()
	all := newHistogram()
	for _, h := range histograms {
		all.Merge(h)
	}
	r.set(all)
	if e := first.Load(); e != nil && r.Errors*100 > r.Ops {
		return r, *e
	}
	return r, nil
}

func (r *result) set(h *hdrhistogram.Histogram) {
	r.Ops = h.TotalCount()
	r.P50, r.P99, r.P999 = millis(h, 50), millis(h, 99), millis(h, 99.9)
}

// newHistogram takes nanoseconds up to a minute.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1000, int64(time.Minute), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(int64(d), int64(time.Minute))) // in range by construction
}

func millis(h *hdrhistogram.Histogram, quantile float64) float64 {
	return float64(h.ValueAtQuantile(quantile)) / 1e6
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
