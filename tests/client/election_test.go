package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

func TestElection(t *testing.T) {
	q := newQueues(t)
	c := q.f.b.client()
	if l, err := c.Leader(deadline(t), name); err != nil || l.Fence != 0 {
		t.Fatalf("%+v %v", l, err)
	}
	ctx, stop := context.WithCancel(deadline(t))
	seen := make(chan client.Leader)
	ended := make(chan error)
	go func() {
		for l, err := range c.Observe(ctx, name) {
			if err != nil {
				ended <- err
				return
			}
			seen <- l
		}
	}()
	expect := func(value string) client.Leader {
		t.Helper()
		l := <-seen
		if string(l.Value) != value {
			t.Fatalf("%q leads, not %q", l.Value, value)
		}
		return l
	}
	expect("")
	e := client.NewElection(q.session(), name)
	fence, err := e.Campaign(deadline(t), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if l := expect("a"); l.Fence != fence || l.Revision != fence || l.Lease == 0 {
		t.Fatalf("%+v, fence %d", l, fence)
	}
	if err := e.Proclaim(deadline(t), []byte("a, ready")); err != nil {
		t.Fatal(err)
	}
	expect("a, ready")
	if l, err := e.Leader(deadline(t)); err != nil || l.Fence != fence {
		t.Fatalf("%+v %v", l, err)
	}
	if err := e.Resign(deadline(t)); err != nil {
		t.Fatal(err)
	}
	expect("")
	if err := e.Proclaim(deadline(t), nil); !errors.Is(err, client.ErrNotHeld) {
		t.Fatalf("%v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
}

// TestRunWhileLeader: it runs again after a lost leadership, and ends when the
// work is done.
func TestRunWhileLeader(t *testing.T) {
	q := newQueues(t)
	runs := 0
	var last int64
	err := q.f.b.client().RunWhileLeader(deadline(t), name, []byte("me"), func(ctx context.Context, fence int64) error {
		if runs++; fence <= last {
			t.Errorf("fence %d after %d", fence, last)
		}
		last = fence
		switch runs {
		case 3:
			return client.ErrNotHeld // what the store said of the fence
		case 4:
			return nil
		}
		q.remove(func(kv *kvpb.KeyValue) bool { return kv.GetCreateRevision() == fence })
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), client.ErrNotHeld) {
			t.Errorf("%v", context.Cause(ctx))
		}
		return ctx.Err()
	}, client.SessionTTL(time.Minute))
	if err != nil || runs != 4 || len(q.places) != 0 {
		t.Fatalf("%v after %d runs, places %v", err, runs, q.places)
	}
}

// TestRunWhileLeaderEnds with what no repetition mends, and with its context.
func TestRunWhileLeaderEnds(t *testing.T) {
	q := newQueues(t)
	c := q.f.b.client()
	mine := errors.New("mine")
	if err := c.RunWhileLeader(deadline(t), name, nil, func(context.Context, int64) error { return mine }); err != mine {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(deadline(t))
	err := c.RunWhileLeader(ctx, name, nil, func(leading context.Context, _ int64) error {
		cancel()
		<-leading.Done()
		return leading.Err()
	})
	if !errors.Is(err, context.Canceled) || len(q.places) != 0 {
		t.Fatalf("%v, places %v", err, q.places)
	}
	never := func(context.Context, int64) error { t.Error("it ran"); return nil }
	if err := c.RunWhileLeader(ctx, name, nil, never); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if err := c.RunWhileLeader(deadline(t), name, nil, never, client.SessionTTL(time.Nanosecond)); api.KindOf(err) != api.KindBadRequest {
		t.Fatalf("%v", err)
	}
}
