package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// watched is what the watch rows count besides deliveries.
type watched struct {
	Puts int64 `json:"puts"` // acknowledged in the measured time
	// Of all puts of the row: deliveries after the last put was acknowledged,
	// those that never came, those that came again or out of order.
	Late     int64 `json:"late"`
	Lost     int64 `json:"lost"`
	Repeated int64 `json:"repeated"`
}

// watchRows deliver one key's changes to many watchers.
func watchRows(counts []int) (rows []row) {
	for _, n := range counts {
		writers := 8
		if n <= 100 {
			writers = 64 // fewer would not keep so few watchers busy
		}
		rows = append(rows, row{name: fmt.Sprintf("watch-max/%d", n), needs: watching, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.watch(ctx, s, n, writers, 0)
		}})
	}
	for _, n := range counts {
		pause := 10 * time.Millisecond
		if n >= 1000 {
			pause = time.Second
		}
		rows = append(rows, row{name: fmt.Sprintf("watch-latency/%d", n), needs: watching, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.watch(ctx, s, n, 1, pause)
		}})
	}
	for _, n := range counts {
		rows = append(rows, row{name: fmt.Sprintf("watch-create/%d", n), needs: watching, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.createWatches(ctx, s, n)
		}})
	}
	return rows
}

// watchConnections is how many connections so many watches share.
func watchConnections(watchers int) int { return max(1, watchers/100) }

func (b *bench) createWatches(ctx context.Context, s system, n int) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, err := s.open(ctx, watchConnections(n), everywhere)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	w := &watchers{counters: make(counters, n), key: b.key(0)}
	m := measureFrom(s.servers())
	took, err := w.start(ctx, session)
	if err != nil {
		return result{}, err
	}
	r := m.result()
	r.Ops, r.latency = int64(n), took.summary()
	if err := session.do(ctx, put, 0, w.key, b.value); err != nil {
		return r, err
	}
	r.Watch = &watched{Puts: 1, Lost: w.drain(ctx, int64(n)), Repeated: w.repeated()}
	return r, nil
}

// watch has writers put one key, with a pause between puts.
func (b *bench) watch(ctx context.Context, s system, n, writers int, pause time.Duration) (r result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, err := s.open(ctx, watchConnections(n), everywhere)
	if err != nil {
		return r, err
	}
	defer session.close()
	writing, err := s.open(ctx, connectionsFor(writers), everywhere)
	if err != nil {
		return r, err
	}
	defer writing.close()
	w := &watchers{counters: make(counters, n), key: b.key(0), origin: time.Now()}
	if pause > 0 {
		w.latencies = make([]lockedLatencies, watchConnections(n))
		for i := range w.latencies {
			w.latencies[i].latencies = newLatencies()
		}
	}
	if _, err := w.start(ctx, session); err != nil {
		return r, err
	}
	var written atomic.Int64
	var errs tally
	var wg sync.WaitGroup
	stopping := make(chan struct{})
	for c := range writers {
		wg.Go(func() {
			for {
				if err := writing.do(ctx, put, c, w.key, w.value(len(b.value))); err == nil {
					written.Add(1)
				} else {
					errs.add(err)
				}
				select {
				case <-stopping:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	var events, puts [2]int64
	r = b.window(ctx, s.servers(), max(b.time, 5*pause),
		func() { events[0], puts[0] = w.sum(), written.Load() },
		func() { events[1], puts[1] = w.sum(), written.Load() })
	close(stopping)
	wg.Wait() // the writers' last puts are acknowledged
	errs.into(&r)
	wanted := written.Load() * int64(n)
	r.Ops = events[1] - events[0]
	r.Watch = &watched{Puts: puts[1] - puts[0], Late: max(0, wanted-w.sum())}
	r.Watch.Lost = w.drain(ctx, wanted)
	r.Watch.Late -= r.Watch.Lost
	r.Watch.Repeated = w.repeated()
	all := newLatencies()
	for i := range w.latencies {
		l := &w.latencies[i]
		l.mu.Lock()
		all.Merge(l.Histogram)
		l.mu.Unlock()
	}
	r.latency = all.summary()
	return r, ctx.Err()
}
