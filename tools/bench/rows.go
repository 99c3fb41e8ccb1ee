package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// row is some work, measured on a system that runs.
type row struct {
	name string
	// needs: systems without it have a dash.
	needs kind
	// fresh: it has an empty cluster of its own.
	fresh bool
	// breaks: it ends servers, and a profile of it would say nothing.
	breaks bool
	run    func(ctx context.Context, b *bench, s system) (result, error)
}

// rowsOf are all rows, in the order in which they run and are shown.
func rowsOf(o options) (rows []row) {
	rows = append(rows, idleRow("idle", put, (*group).all), idleRow("idle-nodes", fanOut, (*group).nodes))
	rows = append(rows, loadRows(o.clients)...)
	rows = append(rows, leaseRows()...)
	rows = append(rows, watchRows(o.watchers)...)
	rows = append(rows, failoverRows()...)
	return append(rows, keysRow(o.loadKeys))
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

// connectionsFor is how many connections so many clients share.
func connectionsFor(clients int) int { return max(1, clients/8) }

func (b *bench) loop(ctx context.Context, s system, k kind, clients int) (result, error) {
	to := everywhere
	if clients == 1 {
		to = atLeader
	}
	session, err := s.open(ctx, connectionsFor(clients), to)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	key := func(int) string { return b.key(rand.IntN(b.keys)) }
	switch k {
	case rangeOf100:
		key = func(int) string { return b.key(rand.IntN(b.keys - 99)) }
	case compareAndPut:
		own := prefix + strconv.FormatUint(rand.Uint64(), 36) + "/" // nobody has written these
		key = func(client int) string { return own + strconv.Itoa(client) }
		if err := compares(ctx, session, own); err != nil {
			return result{}, err
		}
	}
	return b.closedLoop(ctx, s.servers(), clients, func(ctx context.Context, client, _ int) error {
		return session.do(ctx, k, client, key(client), b.value)
	})
}

// compares proves that a compare-and-put is refused after another's put.
func compares(ctx context.Context, session session, own string) error {
	const client = clientsMax - 1
	key := own + "proof"
	for _, k := range []kind{compareAndPut, compareAndPut, put} {
		if err := session.do(ctx, k, client, key, nil); err != nil {
			return err
		}
	}
	if session.do(ctx, compareAndPut, client, key, nil) == nil {
		return errors.New("a compare-and-put with an old revision succeeded")
	}
	return nil
}

const (
	fillClients = 256
	// fillBatch is within every system's bound on the operations of a transaction.
	fillBatch = 100
)

// fill writes the first keys.
func (b *bench) fill(ctx context.Context, s system, keys int) error {
	session, err := s.open(ctx, connectionsFor(fillClients), everywhere)
	if err != nil {
		return err
	}
	defer session.close()
	return inParallel(fillClients, func(client int) error {
		for at := client * fillBatch; at < keys; at += fillClients * fillBatch {
			var batch []string
			for i := at; i < min(at+fillBatch, keys); i++ {
				batch = append(batch, b.key(i))
			}
			once, cancel := context.WithTimeout(ctx, time.Minute)
			err := session.putAll(once, client, batch, b.value)
			cancel()
			if err != nil {
				return fmt.Errorf("writing %d keys: %w", keys, err)
			}
		}
		return nil
	})
}

// idleTime is the least time of the idle rows.
const idleTime = 10 * time.Second

func idleRow(name string, needs kind, of func(*group) *group) row {
	return row{name: name, needs: needs, run: func(ctx context.Context, b *bench, s system) (result, error) {
		return b.window(ctx, of(s.servers()), max(b.time, idleTime), func() {}, func() {}), nil
	}}
}
