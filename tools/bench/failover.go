package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// failedOver is what 16 writers saw of a leader's end, milliseconds.
type failedOver struct {
	// Gap is the longest time between two acknowledged writes of any client,
	// ClientGap between two of one client.
	Gap       float64 `json:"gapMillis"`
	ClientGap float64 `json:"clientGapMillis"`
	// Call is the longest call, failed ones included.
	Call float64 `json:"callMillis"`
	// Stuck is how many clients waited for more than a second longer than Gap.
	Stuck int64 `json:"stuck"`
}

const (
	failoverWriters = 16
	// failoverCall bounds a call.
	failoverCall = 10 * time.Second
	// A failover is looked at until every client has written again, at least and
	// at most so long.
	failoverLeast = 4 * time.Second
	failoverMost  = 15 * time.Second
)

func failoverRows() (rows []row) {
	for _, f := range []struct {
		name   string
		signal syscall.Signal
	}{{"graceful", syscall.SIGTERM}, {"kill", syscall.SIGKILL}, {"hang", syscall.SIGSTOP}} {
		rows = append(rows, row{name: "failover-" + f.name, breaks: true, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.failover(ctx, s, f.signal)
		}})
	}
	return rows
}

// gaps keeps when each client's last write was acknowledged, and the longest
// times between.
type gaps struct {
	mu   sync.Mutex
	all  gap
	each []gap
	call time.Duration
	acks int64
}

type gap struct {
	last    time.Time
	longest time.Duration
}

func (g *gap) until(now time.Time) { g.longest = max(g.longest, now.Sub(g.last)) }

// reset forgets all gaps up to now.
func (g *gaps) reset(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all, g.call, g.acks = gap{last: now}, 0, 0
	for c := range g.each {
		g.each[c] = gap{last: now}
	}
}

// returned notes the end of a client's call.
func (g *gaps) returned(client int, began, now time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.call = max(g.call, now.Sub(began))
	if err != nil {
		return
	}
	g.acks++
	for _, x := range []*gap{&g.all, &g.each[client]} {
		x.until(now)
		x.last = now
	}
}

// wrote tells whether every client has had a write acknowledged since then.
func (g *gaps) wrote(since time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range g.each {
		if !x.last.After(since) {
			return false
		}
	}
	return true
}

// into ends all gaps now and sums them up.
func (g *gaps) into(r *result, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.until(now)
	f := &failedOver{Gap: millis(g.all.longest), Call: millis(g.call)}
	for _, x := range g.each {
		x.until(now)
		f.ClientGap = max(f.ClientGap, millis(x.longest))
		if x.longest > g.all.longest+time.Second {
			f.Stuck++
		}
	}
	r.Ops, r.Failover = g.acks, f
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

func (b *bench) failover(ctx context.Context, s system, signal syscall.Signal) (r result, err error) {
	i, err := s.leader(ctx)
	if err != nil {
		return r, err
	}
	leader := s.servers().procs[i]
	session, err := s.open(ctx, failoverWriters, movable)
	if err != nil {
		return r, err
	}
	defer session.close()
	writing, cancel := context.WithCancel(ctx)
	defer cancel()
	g := &gaps{each: make([]gap, failoverWriters)}
	g.reset(time.Now())
	var errs tally
	var wg sync.WaitGroup
	for c := range failoverWriters {
		wg.Go(func() {
			for writing.Err() == nil {
				began := time.Now()
				once, stop := context.WithTimeout(writing, failoverCall)
				err := session.do(once, put, c, b.key(c), b.value)
				stop()
				if writing.Err() != nil {
					return
				}
				g.returned(c, began, time.Now(), err)
				if err != nil {
					errs.add(err)
					sleep(writing, errorPause)
				}
			}
		})
	}
	sleep(ctx, 2*time.Second)
	errs.into(&result{}) // what was before is not the failover's
	m := measureFrom(s.servers())
	g.reset(m.began)
	leader.signal(signal)
	sleep(ctx, failoverLeast)
	for !g.wrote(m.began.Add(failoverLeast)) && time.Since(m.began) < failoverMost && ctx.Err() == nil {
		sleep(ctx, 10*time.Millisecond)
	}
	r.Elapsed = time.Since(m.began)
	g.into(&r, time.Now())
	errs.into(&r)
	cancel()
	wg.Wait()
	return r, restore(ctx, s, leader, signal)
}

// restore has an ended leader run again, and waits for all.
func restore(ctx context.Context, s system, p *proc, signal syscall.Signal) error {
	if signal == syscall.SIGSTOP {
		p.signal(syscall.SIGCONT)
		return s.ready(ctx)
	}
	if !p.wait(30 * time.Second) {
		return fmt.Errorf("%s did not end", p.name)
	}
	if err := p.start(); err != nil {
		return err
	}
	return s.ready(ctx)
}
