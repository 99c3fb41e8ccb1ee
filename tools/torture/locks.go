//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// lockNames are contended for by all lock clients.
var lockNames = []string{"/locks/a", "/locks/b"}

// lockWork is the clients that take locks and write under them.
type lockWork struct {
	l     *load
	mu    sync.Mutex
	spans []check.Hold
	wrote int
}

func startLocks(l *load) (*lockWork, error) {
	work := &lockWork{l: l}
	for i := range lockClients {
		c, err := l.dial(i)
		if err != nil {
			return nil, err
		}
		nc, err := l.dial(i + 1)
		if err != nil {
			c.Close()
			return nil, err
		}
		k := &locker{work: work, id: kvClients + 1 + i, c: c, writes: libCaller{nc}, rng: rand.New(rand.NewPCG(uint64(l.phase), uint64(200+i)))}
		l.writing.Go(func() {
			defer c.Close()
			defer nc.Close()
			for l.ctx.Err() == nil {
				k.session()
			}
		})
	}
	return work, nil
}

// locker is one of them. It writes over another connection than the one that it
// keeps its session alive on, so that its writes may be late.
type locker struct {
	work   *lockWork
	id     int
	c      *client.Client
	writes libCaller
	rng    *rand.Rand
	n      int
}

// session takes locks under one lease until it is lost, or for a while.
func (k *locker) session() {
	ctx := k.work.l.ctx
	s, err := k.c.NewSession(ctx, client.SessionTTL(time.Duration(1500+k.rng.IntN(1500))*time.Millisecond))
	if err != nil {
		return
	}
	defer func() {
		if k.rng.IntN(3) > 0 { // else it is left to run out
			bounded, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_ = s.Close(bounded) // it runs out otherwise
		}
	}()
	for range 1 + k.rng.IntN(4) {
		name := lockNames[k.rng.IntN(len(lockNames))]
		m := client.NewMutex(s, name)
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		fence, err := m.Lock(wait)
		cancel()
		if err != nil {
			if s.Err() != nil || ctx.Err() != nil {
				return
			}
			continue
		}
		k.hold(m, name, fence)
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		_ = m.Unlock(bounded) // the session goes on trying
		cancel()
	}
}

// hold writes under a lock for a while, and notes between which two moments it
// was certain to hold it.
func (k *locker) hold(m *client.Mutex, name string, fence int64) {
	span := check.Hold{Name: name, Client: k.id, Fence: fence}
	for range 1 + k.rng.IntN(12) {
		before := k.work.l.rec.now()
		if m.Err() != nil || k.work.l.ctx.Err() != nil {
			break
		}
		if span.Until = before; span.From == 0 {
			span.From, span.Until = k.work.l.rec.now(), k.work.l.rec.now()
			if m.Err() != nil {
				break
			}
		}
		k.write(name, fence)
		if !k.pause() {
			break
		}
	}
	if span.From != 0 {
		k.work.mu.Lock()
		defer k.work.mu.Unlock()
		k.work.spans = append(k.work.spans, span)
	}
}

func (k *locker) pause() bool {
	select {
	case <-k.work.l.ctx.Done():
		return false
	case <-time.After(time.Duration(20+k.rng.IntN(150)) * time.Millisecond):
		return true
	}
}

// write puts the job's state if the lock is held under the fence.
func (k *locker) write(name string, fence int64) {
	k.n++
	value := fmt.Appendf(nil, "p%d-c%d-%d fence %d", k.work.l.phase, k.id, k.n, fence)
	req := &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{{Target: kvpb.Compare_LOCK, Key: []byte(name), Number: fence}},
		Success: []*kvpb.RequestOp{put([]byte("/jobs"+name), value, true)},
	}
	op := check.Op{Client: k.id, Request: req, Call: k.work.l.rec.now()}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	resp, err := k.writes.call(ctx, proto.Message(req), "")
	op.Response, op.Repeated = resp.Message, resp.repeated
	k.work.l.rec.op(op, err, unknownOutcome(err))
	if err == nil && resp.Message.(*kvpb.TxnResponse).Succeeded {
		k.work.mu.Lock()
		k.work.wrote++
		k.work.mu.Unlock()
	}
}
