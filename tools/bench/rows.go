package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"
)

// row is one line of the table: some work, measured on a system that runs.
type row struct {
	name string
	// needs: systems without it have a dash.
	needs kind
	// run measures. It may break the servers if last is set: rows so marked
	// come last on a cluster.
	run  func(ctx context.Context, b *bench, s system) (result, error)
	last bool
}

// bench holds what all rows share.
type bench struct {
	dir   string
	time  time.Duration
	keys  int // how many keys the load writes and reads
	value []byte
}

// loadRows are the closed loops for each number of clients.
func loadRows(clients []int) (rows []row) {
	for _, l := range []struct {
		name string
		kind kind
	}{
		{"put", put}, {"compare-and-put", compareAndPut}, {"get", get}, {"get-serializable", getSerializable},
		{"range-100", rangeOf100}, {"txn-4", txnOf4},
	} {
		for _, n := range clients {
			rows = append(rows, row{name: fmt.Sprintf("%s/%d", l.name, n), needs: l.kind,
				run: func(ctx context.Context, b *bench, s system) (result, error) { return b.loop(ctx, s, l.kind, n) }})
		}
	}
	return rows
}

// connectionsFor is how many connections so many clients share: 8 clients each.
// One client alone is connected to the leader.
func connectionsFor(clients int) int { return max(1, clients/8) }

func (b *bench) loop(ctx context.Context, s system, k kind, clients int) (result, error) {
	session, err := s.open(ctx, connectionsFor(clients), clients == 1)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	var fresh string
	if k == compareAndPut {
		fresh = strconv.FormatUint(rand.Uint64(), 36) // keys that nobody has written
	}
	return closedLoop(ctx, s.servers(), clients, b.time, func(ctx context.Context, client, i int) error {
		key := b.key(rand.IntN(b.keys))
		if k == compareAndPut {
			key = prefix + fresh + strconv.Itoa(client)
		}
		return session.do(ctx, k, client, key, b.value)
	})
}

func (b *bench) key(i int) string { return fmt.Sprintf("%s%08d", prefix, i) }

// fill writes all keys, so that reads find them.
func (b *bench) fill(ctx context.Context, s system, keys int) error {
	const clients = 64
	session, err := s.open(ctx, 8, false)
	if err != nil {
		return err
	}
	defer session.close()
	errs := make(chan error, clients)
	for c := range clients {
		go func() {
			var err error
			for i := c; i < keys && err == nil; i += clients {
				err = session.do(ctx, put, c, b.key(i), b.value)
			}
			errs <- err
		}()
	}
	for range clients {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}

// leaseRow renews leases from 64 clients; an operation is one lease renewed.
var leaseRow = row{name: "lease-keepalive/64", needs: leasing, run: func(ctx context.Context, b *bench, s system) (result, error) {
	session, err := s.open(ctx, 64, false)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	if err := session.leases(ctx, 1000); err != nil {
		return result{}, err
	}
	batch := 1
	r, err := closedLoop(ctx, s.servers(), 64, b.time, func(ctx context.Context, client, i int) error {
		n, err := session.keep(ctx, client, i)
		if client == 0 && err == nil {
			batch = n
		}
		return err
	})
	r.Ops *= int64(batch)
	return r, err
}}

// idleRow is the servers' CPU while nobody asks anything: percent of a core, as
// operations 0 and CPU seconds.
var idleRow = row{name: "idle", run: func(ctx context.Context, b *bench, s system) (result, error) {
	sleep(ctx, time.Second)
	before, began := s.servers().usage(), time.Now()
	sleep(ctx, b.time)
	return result{Elapsed: time.Since(began), usage: s.servers().usage().since(before)}, nil
}}

// loadRow fills a store with many keys and starts it again: Elapsed is the time
// until it serves a read after kill -9 of all three.
func loadRow(keys int) row {
	return row{name: fmt.Sprintf("keys-%d", keys), last: true, run: func(ctx context.Context, b *bench, s system) (result, error) {
		if err := b.fill(ctx, s, keys); err != nil {
			return result{}, err
		}
		sleep(ctx, 3*time.Second) // what is written in the background
		r := result{Ops: int64(keys), usage: s.servers().usage()}
		r.Written = diskBytes(filepath.Join(b.dir, s.name()))
		s.servers().kill()
		began := time.Now()
		if err := s.servers().start(); err != nil {
			return r, err
		}
		err := b.awaitRead(ctx, s)
		r.Elapsed = time.Since(began)
		return r, err
	}}
}

// awaitRead reads a key until that succeeds.
func (b *bench) awaitRead(ctx context.Context, s system) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		once, stop := context.WithTimeout(ctx, 2*time.Second)
		err := func() error {
			session, err := s.open(once, 1, false)
			if err != nil {
				return err
			}
			defer session.close()
			k := get
			if !s.has(get) {
				k = getSerializable
			}
			return session.do(once, k, 0, b.key(0), nil)
		}()
		stop()
		if err == nil || ctx.Err() != nil {
			return err
		}
		sleep(ctx, 5*time.Millisecond)
	}
}
