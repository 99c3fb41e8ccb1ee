package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// watchersPerConnection is how many watches share a connection.
const watchersPerConnection = 100

// watchRows deliver one key's changes to many watchers: as fast as they come
// from 8 writers (an operation is one delivery), and one put at a time with the
// latency from the call of the put to the delivery.
func watchRows(counts []int) (rows []row) {
	for _, n := range counts {
		rows = append(rows,
			row{name: fmt.Sprintf("watch-max/%d", n), needs: watching, run: func(ctx context.Context, b *bench, s system) (result, error) {
				return b.watch(ctx, s, n, 8, 0)
			}},
			row{name: fmt.Sprintf("watch-latency/%d", n), needs: watching, run: func(ctx context.Context, b *bench, s system) (result, error) {
				return b.watch(ctx, s, n, 1, pauseFor(n))
			}})
	}
	return rows
}

// pauseFor is the time between puts: 100 a second for few watchers, 1 for many.
func pauseFor(watchers int) time.Duration {
	if watchers >= 1000 {
		return time.Second
	}
	return 10 * time.Millisecond
}

func (b *bench) watch(ctx context.Context, s system, watchers, writers int, pause time.Duration) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, err := s.open(ctx, max(1, watchers/watchersPerConnection), false)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	var counting atomic.Bool
	var delivered, written atomic.Int64
	histogram, mu := newHistogram(), sync.Mutex{}
	origin := time.Now()
	event := func(value []byte) {
		if !counting.Load() {
			return
		}
		delivered.Add(1)
		if pause > 0 {
			sent, _ := strconv.ParseInt(string(value), 10, 64)
			mu.Lock()
			record(histogram, time.Since(origin)-time.Duration(sent))
			mu.Unlock()
		}
	}
	key := b.key(0)
	for i := range watchers {
		if err := session.watch(ctx, i, key, event); err != nil {
			return result{}, fmt.Errorf("watch %d of %d: %w", i+1, watchers, err)
		}
	}
	writing, err := s.open(ctx, 1, false)
	if err != nil {
		return result{}, err
	}
	defer writing.close()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for ctx.Err() == nil {
				value := strconv.AppendInt(nil, int64(time.Since(origin)), 10)
				if writing.do(ctx, put, w, key, value) == nil && counting.Load() {
					written.Add(1)
				}
				sleep(ctx, pause)
			}
		})
	}
	sleep(ctx, b.time/5)
	before, began := s.servers().usage(), time.Now()
	counting.Store(true)
	sleep(ctx, max(b.time, 5*pause))
	counting.Store(false)
	r := result{Elapsed: time.Since(began), usage: s.servers().usage().since(before)}
	cancel()
	wg.Wait()
	mu.Lock()
	r.set(histogram)
	mu.Unlock()
	r.Ops = delivered.Load()
	if wanted := written.Load() * int64(watchers); r.Ops < wanted*9/10 {
		r.Errors = wanted - r.Ops // not delivered, or not in time
	}
	return r, nil
}
