//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// Clients of a phase. Each does one thing at a time.
const (
	kvClients    = 18
	leaseClients = 3
	lockClients  = 4
	watchClients = 5
)

// load is the clients of one phase.
type load struct {
	c        *cluster
	rec      *recorder
	col      *collector
	phase    int
	pace     time.Duration // between two requests of one client
	revised  atomic.Int64  // the highest revision that a client has seen
	ctx      context.Context
	stop     context.CancelFunc
	writing  sync.WaitGroup // all but the watches
	watching sync.WaitGroup
	leases   *leaseWork
	locks    *lockWork
	watches  *watchWork
}

// startLoad lets all clients of a phase begin.
func startLoad(c *cluster, rec *recorder, col *collector, phase, rate int, seed uint64) (*load, error) {
	l := &load{c: c, rec: rec, col: col, phase: phase, pace: time.Second * kvClients / time.Duration(rate)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	rec.meter.resume()
	for i := range kvClients {
		w := &kvClient{l: l, id: i, rng: rand.New(rand.NewPCG(seed, uint64(phase*1000+i))), seen: map[string]int64{}}
		if err := w.connect(); err != nil {
			l.end()
			return nil, err
		}
		l.writing.Go(w.run)
	}
	l.writing.Go(func() { col.run(l.ctx) })
	l.writing.Go(l.compactor)
	var err error
	if l.leases, err = startLeases(l); err == nil {
		if l.locks, err = startLocks(l); err == nil {
			l.watches, err = startWatches(l)
		}
	}
	if err != nil {
		l.end()
	}
	return l, err
}

// end stops all clients and waits for them.
func (l *load) end() {
	l.stop()
	l.writing.Wait()
}

// urls is where a client connects: half of them to one node only, so that some
// are on every side of a partition.
func (l *load) urls(i int) string {
	if i%2 == 0 {
		return l.c.nodes[(i/2)%len(l.c.nodes)].url
	}
	return l.c.urls()
}

// dial makes a connection to the i-th client's place.
func (l *load) dial(i int, opts ...client.Option) (*client.Client, error) {
	return client.Connect(l.ctx, l.urls(i), opts...)
}

// kvClient puts, deletes, reads and makes transactions.
type kvClient struct {
	l      *load
	id     int
	rng    *rand.Rand
	caller caller
	close  func()
	n      int
	seen   map[string]int64 // mod revisions of keys as it last saw them
}

// connect gives half of the clients the Go client and lets the others speak the
// protocol themselves.
func (w *kvClient) connect() error {
	if w.id%4 < 2 {
		c, err := w.l.dial(w.id)
		if err != nil {
			return err
		}
		w.caller, w.close = libCaller{c}, c.Close
		return nil
	}
	nc, err := nats.Connect(w.l.urls(w.id), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.RetryOnFailedConnect(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return err
	}
	// Patient enough to have requests in flight to a node that is paused.
	w.caller, w.close = rawCaller{nc, time.Duration(2+w.id) * time.Second}, nc.Close
	return nil
}

func (w *kvClient) run() {
	defer w.close()
	next := time.Now()
	for {
		next = next.Add(w.l.pace/2 + rand.N(w.l.pace))
		if late := time.Since(next); late > 0 {
			next = next.Add(late) // what was missed is not made up for
		}
		select {
		case <-w.l.ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		w.one(w.request())
	}
}

// one makes one request and records it.
func (w *kvClient) one(req proto.Message) {
	w.n++
	// Some give up early, so that outcomes stay unknown.
	patience := 8 * time.Second
	if w.rng.IntN(30) == 0 {
		patience = time.Duration(1+w.rng.IntN(300)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	op := check.Op{Client: w.id, Request: req}
	if writes(req) {
		op.MsgID = fmt.Sprintf("p%d-c%d-%d", w.l.phase, w.id, w.n)
	}
	op.Call = w.l.rec.now()
	resp, err := w.caller.call(ctx, req, op.MsgID)
	unknown := unknownOutcome(err)
	for again := w.rng.IntN(4) > 0; unknown && again && ctx.Err() == nil && w.l.ctx.Err() == nil; {
		if _, raw := w.caller.(rawCaller); !raw {
			break // the client has repeated it already
		}
		resp, err = w.caller.call(ctx, req, op.MsgID)
		// Only an answer says more than was known before.
		unknown = err != nil && api.KindOf(err) != api.KindCompareFailed
	}
	op.Response, op.Repeated = resp.Message, resp.repeated
	if err == nil {
		w.learn(req, resp.Message)
	}
	w.l.rec.op(op, err, unknown)
}

// compactor forgets the past now and then, but only what was collected.
func (l *load) compactor() {
	c, err := l.dial(1)
	if err != nil {
		return
	}
	defer c.Close()
	raw := libCaller{c}
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(5*time.Second + rand.N(5*time.Second)):
		}
		target := l.col.revision() - 300
		if target <= l.col.start.Revision {
			continue
		}
		req := compact(target, rand.IntN(3) == 0)
		op := check.Op{Client: kvClients, Request: req, Call: l.rec.now()}
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		resp, err := raw.call(ctx, req, "")
		cancel()
		op.Response, op.Repeated = resp.Message, resp.repeated
		l.rec.op(op, err, unknownOutcome(err))
	}
}

// raise notes a revision that was seen.
func (l *load) raise(revision int64) {
	for {
		old := l.revised.Load()
		if revision <= old || l.revised.CompareAndSwap(old, revision) {
			return
		}
	}
}

// value is one that no other write has.
func (w *kvClient) value(part int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "p%d-c%d-%d-%d", w.l.phase, w.id, w.n+1, part)
	if w.rng.IntN(3) == 0 {
		b.WriteString(strings.Repeat(".", w.rng.IntN(300)))
	}
	return b.Bytes()
}
