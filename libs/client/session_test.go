package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvorum/kvorum/libs/api"
)

const ttl = 9 * time.Second

var errSilence = api.Errorf(api.KindTimeout, "no answer")

// inSession runs a session in virtual time. renew is asked for every attempt,
// with the time since the session began.
func inSession(t *testing.T, renew func(at time.Duration) error, test func(s *Session, began time.Time)) {
	synctest.Test(t, func(t *testing.T) {
		closed, end := context.WithCancel(context.Background())
		defer end()
		began := time.Now()
		s := newSession(&Client{link: &link{closed: closed}}, Lease{ID: 1, TTL: ttl}, began)
		s.renew = func(ctx context.Context, patience time.Duration) error {
			at := time.Since(began)
			err := renew(at)
			if err == error(errSilence) {
				select { // as an attempt does
				case <-ctx.Done():
				case <-time.After(patience):
				}
			}
			return err
		}
		s.tasks.Go(s.run)
		test(s, began)
		s.cancel(errSessionClosed)
		s.tasks.Wait()
	})
}

func TestSessionStaysAlive(t *testing.T) {
	var times []time.Duration
	renew := func(at time.Duration) error {
		times = append(times, at)
		return nil
	}
	inSession(t, renew, func(s *Session, _ time.Time) {
		time.Sleep(10*ttl + time.Second)
		if s.Err() != nil || len(times) != 30 || times[0] != ttl/3 || times[29] != 10*ttl {
			t.Fatalf("%v, renewed at %v", s.Err(), times)
		}
	})
}

// TestSessionEndsWithItsTime: it ends TTL after the last renewal that was
// answered was sent, not after it was answered, and not a moment later.
func TestSessionEndsWithItsTime(t *testing.T) {
	renew := func(at time.Duration) error {
		if at > ttl {
			return errSilence
		}
		time.Sleep(time.Second) // the answer takes its time
		return nil
	}
	inSession(t, renew, func(s *Session, began time.Time) {
		<-s.Done()
		if lived := time.Since(began); lived != 2*ttl || !errors.Is(s.Err(), ErrLeaseNotFound) {
			t.Fatalf("lived %v: %v", lived, s.Err())
		}
	})
}

// TestSessionLooksAtTheClock: nothing has to run for the session to be over.
func TestSessionLooksAtTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(nil, Lease{TTL: ttl}, time.Now())
		ctx, cancel := s.Context(context.Background())
		defer cancel()
		time.Sleep(ttl - 1)
		if err := s.Err(); err != nil {
			t.Fatalf("lost too early: %v", err)
		}
		time.Sleep(1)
		if err := s.Err(); !errors.Is(err, ErrLeaseNotFound) {
			t.Fatalf("%v", err)
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrLeaseNotFound) {
			t.Fatalf("%v", context.Cause(ctx))
		}
	})
}

func TestSessionIsToldThatItIsOver(t *testing.T) {
	renew := func(at time.Duration) error {
		if at < ttl {
			return nil
		}
		return api.Errorf(api.KindLeaseNotFound, "it was revoked")
	}
	inSession(t, renew, func(s *Session, began time.Time) {
		<-s.Done()
		if time.Since(began) != ttl || !errors.Is(s.Err(), ErrLeaseNotFound) {
			t.Fatalf("%v after %v", s.Err(), time.Since(began))
		}
	})
}

// TestSessionRidesOutAnElection: for half the time there is no answer, in every
// form that this takes.
func TestSessionRidesOutAnElection(t *testing.T) {
	failures := []error{errSilence, api.Errorf(api.KindNoLeader, ""), api.Errorf(api.KindUnavailable, ""), api.Errorf(api.KindOverloaded, "")}
	n := 0
	renew := func(at time.Duration) error {
		if at%ttl < ttl/2 {
			n++
			return failures[n%len(failures)]
		}
		return nil
	}
	inSession(t, renew, func(s *Session, _ time.Time) {
		time.Sleep(20 * ttl)
		if s.Err() != nil || n < 20 {
			t.Fatalf("%v, %d failures", s.Err(), n)
		}
	})
}

func TestSessionEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed, end := context.WithCancel(context.Background())
		s := newSession(&Client{link: &link{closed: closed}}, Lease{TTL: ttl}, time.Now())
		s.tasks.Go(s.run)
		end()
		s.tasks.Wait()
		if !errors.Is(s.Err(), ErrUnavailable) {
			t.Fatalf("%v", s.Err())
		}
	})
}

// TestHeldNeedsAFence: a mutex that was never locked compares to nothing, and
// not to "nobody holds it".
func TestHeldNeedsAFence(t *testing.T) {
	m := NewMutex(newSession(nil, Lease{TTL: ttl}, time.Now()), "/l")
	if c := m.Held().compare; c.Number != -1 || string(c.Key) != "/l" {
		t.Fatalf("%v", c)
	}
	if !errors.Is(m.Err(), ErrNotHeld) || !errors.Is(m.Unlock(t.Context()), ErrNotHeld) {
		t.Fatal("held")
	}
	<-m.Done()
	ctx, cancel := m.Context(t.Context())
	defer cancel()
	if !errors.Is(context.Cause(ctx), ErrNotHeld) {
		t.Fatalf("%v", context.Cause(ctx))
	}
}
