package main

import (
	"context"
	"fmt"
	"time"
)

// loaded is what a store with many keys needs. The memory is the result's usage.
type loaded struct {
	DiskBytes int64 `json:"diskBytes"` // of all servers
	// Restarts are the times from the start of killed servers until each node
	// answers; Watch is the time until a watch is in place as well, after the last
	// of them. Seconds.
	Restarts []float64 `json:"restartSeconds"`
	Watch    float64   `json:"watchSeconds"`
	// Nodes is the memory of every server, by its name.
	Nodes map[string]memory `json:"nodes"`
	// After is a node's anonymous memory, after the restart, where it is most.
	After int64 `json:"nodeAnonymousBytesAfterRestart"`
}

type memory struct {
	Resident  int64 `json:"residentBytes"`
	Anonymous int64 `json:"anonymousBytes"`
}

// coldRestarts is how often a filled store is killed and started.
const coldRestarts = 3

// keysRow fills an empty store and starts it again. An operation is one key
// written; the time is that of the writing.
func keysRow(keys int) row {
	return row{name: fmt.Sprintf("keys-%d", keys), fresh: true, breaks: true, run: func(ctx context.Context, b *bench, s system) (result, error) {
		m := measureFrom(s.servers())
		if err := b.fill(ctx, s, keys); err != nil {
			return result{}, err
		}
		r := m.result()
		r.Ops = int64(keys)
		sleep(ctx, b.quiet)
		now := s.servers().usage()
		now.CPUSeconds, now.Written = r.CPUSeconds, now.Written-m.before.Written // with what was written in the background
		r.usage = now
		l := &loaded{DiskBytes: diskBytes(b.home), Nodes: map[string]memory{}}
		for _, p := range s.servers().procs {
			_, _, resident, anonymous := p.usage()
			l.Nodes[p.name] = memory{resident, anonymous}
		}
		r.Load = l
		for range coldRestarts {
			if err := restart(ctx, b, s, keys, l); err != nil {
				return r, err
			}
		}
		return r, nil
	}}
}

// restart kills all and measures how long the system needs to be there again.
func restart(ctx context.Context, b *bench, s system, keys int, l *loaded) error {
	s.servers().kill()
	began := time.Now()
	if err := s.servers().start(); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	l.Restarts = append(l.Restarts, time.Since(began).Seconds())
	session, err := s.open(ctx, 1, everywhere)
	if err != nil {
		return err
	}
	defer session.close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := session.watch(ctx, 0, b.key(0), func(int64, []byte) {}); err != nil {
		return err
	}
	l.Watch = time.Since(began).Seconds()
	l.After = s.servers().usage().NodeAnonymous
	k := get
	if !s.has(k) {
		k = getSerializable
	}
	for _, i := range []int{0, keys / 2, keys - 1} {
		if err := session.do(ctx, k, 0, b.key(i), nil); err != nil {
			return fmt.Errorf("after the restart, %s: %w", b.key(i), err)
		}
	}
	return nil
}
