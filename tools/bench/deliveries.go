package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// counter is what one watcher saw. last is its own goroutine's.
type counter struct {
	delivered, repeated atomic.Int64
	last                int64
}

type counters []counter

func (c counters) sum() (n int64) {
	for i := range c {
		n += c[i].delivered.Load()
	}
	return n
}

func (c counters) repeated() (n int64) {
	for i := range c {
		n += c[i].repeated.Load()
	}
	return n
}

// watchers are watches of one key, with what they saw.
type watchers struct {
	counters
	key    string
	origin time.Time
	// latencies are from the call of the put on, one for each connection, where
	// they are wanted.
	latencies []lockedLatencies
}

type lockedLatencies struct {
	mu sync.Mutex
	latencies
}

// watchCreators is how many watches are begun at the same time.
const watchCreators = 100

// start begins the watches, one after the other on each connection. The time of
// each is recorded.
func (w *watchers) start(ctx context.Context, session session) (latencies, error) {
	n, connections := len(w.counters), watchConnections(len(w.counters))
	all, mu := newLatencies(), sync.Mutex{}
	one := func(watcher, connection int) error {
		began := time.Now()
		if err := session.watch(ctx, watcher, w.key, w.event(watcher, connection)); err != nil {
			return fmt.Errorf("watch %d of %d: %w", watcher+1, n, err)
		}
		mu.Lock()
		defer mu.Unlock()
		all.record(time.Since(began))
		return nil
	}
	creators := min(connections, watchCreators)
	err := inParallel(creators, func(creator int) error {
		for c := creator; c < connections; c += creators {
			for i := c; i < n; i += connections {
				if err := one(i, c); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return all, err
}

// event counts one delivery to a watcher on a connection.
func (w *watchers) event(watcher, connection int) func(revision int64, value []byte) {
	c := &w.counters[watcher]
	return func(revision int64, value []byte) {
		if revision <= c.last {
			c.repeated.Add(1)
			return
		}
		c.last = revision
		c.delivered.Add(1)
		if w.latencies != nil {
			took := time.Since(w.origin) - time.Duration(binary.BigEndian.Uint64(value))
			l := &w.latencies[connection]
			l.mu.Lock()
			l.record(took)
			l.mu.Unlock()
		}
	}
}

// value is what is put: the time, in as many bytes as all values have.
func (w *watchers) value(size int) []byte {
	v := make([]byte, size)
	binary.BigEndian.PutUint64(v, uint64(time.Since(w.origin)))
	return v
}

const (
	// drainTime is how long missing deliveries are waited for, and drainStall
	// how long while none comes.
	drainTime  = 30 * time.Second
	drainStall = 3 * time.Second
)

// drain waits until so many were delivered and gives how many were not.
func (w *watchers) drain(ctx context.Context, wanted int64) (lost int64) {
	seen, since := w.sum(), time.Now()
	for end := since.Add(drainTime); seen < wanted && time.Now().Before(end) && time.Since(since) < drainStall && ctx.Err() == nil; {
		sleep(ctx, 5*time.Millisecond)
		if n := w.sum(); n > seen {
			seen, since = n, time.Now()
		}
	}
	return max(0, wanted-seen)
}
