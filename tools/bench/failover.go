package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// failoverRows end a leader under 16 writers. P50 is the longest gap between two
// acknowledged writes, Errors what clients were told; a call waits up to 10 s.
func failoverRows() (rows []row) {
	for _, f := range []struct {
		name   string
		signal syscall.Signal
	}{{"graceful", syscall.SIGTERM}, {"kill", syscall.SIGKILL}, {"hang", syscall.SIGSTOP}} {
		rows = append(rows, row{name: "failover-" + f.name, last: true, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.failover(ctx, s, f.signal)
		}})
	}
	return rows
}

func (b *bench) failover(ctx context.Context, s system, signal syscall.Signal) (r result, err error) {
	const writers = 16
	leader, err := s.leader(ctx)
	if err != nil {
		return r, err
	}
	session, err := s.open(ctx, writers, false)
	if err != nil {
		return r, err
	}
	defer session.close()
	var mu sync.Mutex
	var last time.Time
	var longest time.Duration
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for c := range writers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				once, stop := context.WithTimeout(ctx, 10*time.Second)
				err := session.do(once, put, c, b.key(c), b.value)
				stop()
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if now := time.Now(); err == nil {
					if r.Ops++; !last.IsZero() {
						longest = max(longest, now.Sub(last))
					}
					last = now
				} else {
					r.Errors++
				}
				mu.Unlock()
				if err != nil {
					sleep(ctx, 5*time.Millisecond)
				}
			}
		})
	}
	sleep(ctx, 2*time.Second)
	mu.Lock()
	longest, r.Errors = 0, 0
	mu.Unlock()
	began := time.Now()
	leader.signal(signal)
	sleep(ctx, 8*time.Second)
	mu.Lock()
	longest = max(longest, time.Since(last))
	mu.Unlock()
	cancel()
	wg.Wait()
	r.Elapsed, r.P50 = time.Since(began), longest.Seconds()*1000
	if signal == syscall.SIGSTOP {
		leader.signal(syscall.SIGCONT)
		sleep(context.WithoutCancel(ctx), 2*time.Second)
		return r, nil
	}
	leader.wait()
	if err := leader.start(); err != nil {
		return r, fmt.Errorf("starting %s again: %w", leader.name, err)
	}
	sleep(context.WithoutCancel(ctx), 3*time.Second)
	return r, nil
}
