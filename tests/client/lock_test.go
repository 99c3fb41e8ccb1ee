package client

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

const name = "/locks/job"

func (q *queues) session(opts ...client.SessionOption) *client.Session {
	q.t.Helper()
	s, err := q.f.b.client().NewSession(deadline(q.t), append([]client.SessionOption{client.SessionTTL(time.Minute)}, opts...)...)
	if err != nil {
		q.t.Fatal(err)
	}
	return s
}

// locking locks in the background and waits until it stands in the queue.
func (q *queues) locking(ctx context.Context, m *client.Mutex) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := m.Lock(ctx)
		done <- err
	}()
	<-q.entered
	return done
}

func mustLock(t *testing.T, m *client.Mutex) int64 {
	t.Helper()
	fence, err := m.Lock(deadline(t))
	if err != nil || m.Err() != nil || m.Fence() != fence || fence == 0 {
		t.Fatalf("fence %d: %v, %v", fence, err, m.Err())
	}
	return fence
}

// TestMutex: three contend, and each has it once, in order.
func TestMutex(t *testing.T) {
	q := newQueues(t)
	first := client.NewMutex(q.session(), name)
	fence := mustLock(t, first)
	<-q.entered
	second, third := client.NewMutex(q.session(), name), client.NewMutex(q.session(), name)
	inSecond := q.locking(deadline(t), second)
	inThird := q.locking(deadline(t), third)
	for _, step := range []struct {
		from, to *client.Mutex
		in       <-chan error
	}{{first, second, inSecond}, {second, third, inThird}} {
		select {
		case <-step.in:
			t.Fatal("two have the lock")
		default:
		}
		holding, stop := step.from.Context(deadline(t))
		if err := step.from.Unlock(deadline(t)); err != nil {
			t.Fatal(err)
		}
		<-step.from.Done()
		<-holding.Done()
		stop()
		if err := <-step.in; err != nil || step.to.Fence() <= fence || step.to.Err() != nil {
			t.Fatalf("%v, fence %d after %d: %v", err, step.to.Fence(), fence, step.to.Err())
		}
		fence = step.to.Fence()
		if !errors.Is(step.from.Err(), client.ErrNotHeld) || !errors.Is(step.from.Unlock(deadline(t)), client.ErrNotHeld) {
			t.Fatal("who unlocked still has it")
		}
	}
	for id, asked := range q.seen {
		if len(asked) == 0 || id == "" || asked[0].GetWaitMillis() != 4_000 || asked[0].GetTtlMillis() != 0 {
			t.Errorf("request %s: %v", id, asked)
		}
	}
}

// TestMutexIsAskedForOnce: an answer that the server keeps on purpose is waited
// for.
func TestMutexIsAskedForOnce(t *testing.T) {
	q := newQueues(t)
	var once sync.Once
	q.ask = func(m *nats.Msg) *nats.Msg {
		once.Do(func() {
			time.AfterFunc(500*time.Millisecond, func() {
				q.mu.Lock()
				q.ask = nil
				q.mu.Unlock()
				a := q.campaign(m, reads(t, m, &kvpb.LockRequest{}))
				a.Subject = m.Reply
				_ = q.f.b.nc.PublishMsg(a)
			})
		})
		return nil
	}
	mustLock(t, client.NewMutex(q.session(), name))
	for id, asked := range q.seen {
		if len(asked) != 2 { // the second time is the answer
			t.Errorf("request %s came %d times", id, len(asked)-1)
		}
	}
}

// TestMutexOnceInASession: the same session cannot be in a queue twice.
func TestMutexOnceInASession(t *testing.T) {
	q := newQueues(t)
	s := q.session()
	mustLock(t, client.NewMutex(s, name))
	if _, err := client.NewMutex(s, name).Lock(deadline(t)); !errors.Is(err, client.ErrAlreadyHeld) {
		t.Fatalf("%v", err)
	}
	mustLock(t, client.NewMutex(s, name+"2"))
}

// TestMutexTaken: the holder is told when its key is deleted, and when its lease
// is over.
func TestMutexTaken(t *testing.T) {
	q := newQueues(t)
	s := q.session()
	m := client.NewMutex(s, name)
	fence := mustLock(t, m)
	ctx, cancel := m.Context(deadline(t))
	defer cancel()
	q.remove(func(kv *kvpb.KeyValue) bool { return kv.GetCreateRevision() == fence })
	<-m.Done()
	<-ctx.Done()
	if err := m.Err(); !errors.Is(err, client.ErrNotHeld) || !errors.Is(context.Cause(ctx), client.ErrNotHeld) || s.Err() != nil {
		t.Fatalf("%v, %v, session %v", err, context.Cause(ctx), s.Err())
	}
	if err := m.Unlock(deadline(t)); !errors.Is(err, client.ErrNotHeld) {
		t.Fatalf("%v", err)
	}
	if next := mustLock(t, m); next <= fence {
		t.Fatalf("fence %d after %d", next, fence)
	}
	short := client.NewMutex(q.session(client.SessionTTL(600*time.Millisecond)), name+"2")
	mustLock(t, short)
	q.mu.Lock()
	q.dead[q.lease] = true // nothing but the keep-alive tells
	q.mu.Unlock()
	<-short.Done()
	if err := short.Err(); !errors.Is(err, client.ErrLeaseNotFound) {
		t.Fatalf("%v", err)
	}
	if _, err := short.Lock(deadline(t)); !errors.Is(err, client.ErrLeaseNotFound) {
		t.Fatalf("%v", err)
	}
}

// TestMutexGivenUp: who stops waiting leaves the queue, also where it does not
// know whether it is in there.
func TestMutexGivenUp(t *testing.T) {
	for what, ask := range map[string]func(*nats.Msg) *nats.Msg{
		"while it waits":          nil,
		"without an answer":       func(*nats.Msg) *nats.Msg { return nil },
		"with a moved leader":     func(*nats.Msg) *nats.Msg { return fails(api.KindUnavailable) },
		"with an outcome unknown": func(*nats.Msg) *nats.Msg { return fails(api.KindTimeout) },
	} {
		t.Run(what, func(t *testing.T) {
			q := newQueues(t)
			holder := client.NewMutex(q.session(), name)
			mustLock(t, holder)
			<-q.entered
			q.mu.Lock()
			q.ask = ask
			q.mu.Unlock()
			waiter := client.NewMutex(q.session(), name)
			ctx, cancel := context.WithCancel(deadline(t))
			in := q.locking(ctx, waiter)
			cancel()
			if err := <-in; !errors.Is(err, context.Canceled) {
				t.Fatalf("%v", err)
			}
			q.mu.Lock()
			q.ask = nil
			q.mu.Unlock()
			next := client.NewMutex(q.session(), name)
			done := q.locking(deadline(t), next)
			if err := holder.Unlock(deadline(t)); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := next.Unlock(deadline(t)); err != nil {
				t.Fatal(err)
			}
			mustLock(t, waiter) // in a new place
		})
	}
}

// TestMutexRefused: what is certain costs no place and no waiting.
func TestMutexRefused(t *testing.T) {
	q := newQueues(t)
	m := client.NewMutex(q.session(), name)
	q.mu.Lock()
	q.ask = func(*nats.Msg) *nats.Msg { q.places = nil; return fails(api.KindNoSpace) }
	q.mu.Unlock()
	if _, err := m.Lock(deadline(t)); !errors.Is(err, client.ErrNoSpace) {
		t.Fatalf("%v", err)
	}
	q.mu.Lock()
	q.ask = nil
	q.mu.Unlock()
	mustLock(t, m)
}

// TestMutexForgotten: the store keeps a place longer than it remembers the
// request for it.
func TestMutexForgotten(t *testing.T) {
	q := newQueues(t)
	holder, waiter := client.NewMutex(q.session(), name), client.NewMutex(q.session(), name)
	mustLock(t, holder)
	<-q.entered
	q.mu.Lock()
	q.ask = func(*nats.Msg) *nats.Msg { q.ask = nil; clear(q.byID); return fails(api.KindUnavailable) }
	q.mu.Unlock()
	in := q.locking(deadline(t), waiter)
	if err := holder.Unlock(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-in; err != nil || waiter.Err() != nil {
		t.Fatalf("%v, %v", err, waiter.Err())
	}
}

// TestSessionClose: it leaves nothing behind, here and there.
func TestSessionClose(t *testing.T) {
	q := newQueues(t)
	c := q.f.b.client()
	if _, err := c.Leader(deadline(t), name); err != nil { // the first request has the connection listen for answers
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	s, err := c.NewSession(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	held, waiting := client.NewMutex(s, name), client.NewElection(s, name+"2")
	mustLock(t, held)
	if _, err := waiting.Campaign(deadline(t), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(deadline(t)); err != nil {
		t.Fatal(err)
	}
	<-held.Done()
	<-waiting.Done()
	if !errors.Is(s.Err(), client.ErrUnavailable) || !errors.Is(held.Err(), client.ErrUnavailable) || len(q.places) != 0 || !q.isDead(s.Lease()) {
		t.Fatalf("%v, %v, places %v", s.Err(), held.Err(), q.places)
	}
	for runtime.NumGoroutine() > before { // a hang is what fails
		runtime.Gosched()
	}
}
