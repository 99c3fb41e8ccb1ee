package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

func ok(*nats.Msg) *nats.Msg { return &nats.Msg{Header: headers(api.HeaderRevision, 7)} }

// TestWriteIsRepeatedUnderOneID: whatever may pass is tried again, as the same
// write.
func TestWriteIsRepeatedUnderOneID(t *testing.T) {
	b := newBus(t)
	script := []*nats.Msg{nil, fails(api.KindNoLeader), fails(api.KindTimeout), fails(api.KindOverloaded), fails(api.KindUnavailable)}
	calls := b.serve("kv.put.>", func(n int, m *nats.Msg) *nats.Msg {
		if n <= len(script) {
			return script[n-1]
		}
		return ok(m)
	})
	res, err := b.client().Put(deadline(t), "/db/primary", []byte("x"))
	if err != nil || res.Revision != 7 {
		t.Fatalf("%+v %v", res, err)
	}
	list := calls.all()
	if len(list) != len(script)+1 {
		t.Fatalf("%d attempts", len(list))
	}
	for _, m := range list {
		if id := m.Header.Get(api.HeaderMsgID); id == "" || id != list[0].Header.Get(api.HeaderMsgID) {
			t.Errorf("id %q after %q", id, list[0].Header.Get(api.HeaderMsgID))
		}
		if m.Subject != "kv.put.db.primary" || string(m.Data) != "x" {
			t.Errorf("%s %q", m.Subject, m.Data)
		}
	}
}

// TestDefiniteErrorsAreFinal: what the cluster decided is not asked again.
func TestDefiniteErrorsAreFinal(t *testing.T) {
	b := newBus(t)
	want := &api.Error{Kind: api.KindCompareFailed, Message: "no", Revision: 9, ModRevision: 4}
	calls := b.serve("kv.put.>", func(int, *nats.Msg) *nats.Msg { return failsWith(want) })
	_, err := b.client().Put(deadline(t), "/a", nil, client.IfRevision(3), client.MsgID("mine"))
	var e *api.Error
	if !errors.Is(err, client.ErrCompareFailed) || !errors.As(err, &e) || *e != *want {
		t.Fatalf("%+v", err)
	}
	list := calls.all()
	if len(list) != 1 || list[0].Header.Get(api.HeaderIfRevision) != "3" || list[0].Header.Get(api.HeaderMsgID) != "mine" {
		t.Fatalf("%d attempts, headers %v", len(list), list[0].Header)
	}
}

// TestOutcome: an error says "unknown" exactly where the write may have happened.
func TestOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		answer *nats.Msg
		nobody bool
		want   error
	}{
		"silence":                  {nil, false, client.ErrTimeout},
		"the cluster says timeout": {fails(api.KindTimeout), false, client.ErrTimeout},
		"no leader":                {fails(api.KindNoLeader), false, client.ErrNoLeader},
		"overloaded":               {fails(api.KindOverloaded), false, client.ErrOverloaded},
		"nobody":                   {nil, true, client.ErrNoLeader},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			if !c.nobody {
				b.serve("kv.put.>", func(int, *nats.Msg) *nats.Msg { return c.answer })
			}
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			_, err := b.client().Put(ctx, "/a", nil)
			// The last attempt may be cut short by the deadline, whatever it
			// would have been answered.
			if !errors.Is(err, c.want) && !errors.Is(err, client.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v", err)
			}
		})
	}
}

// TestSilenceThenRefusal: a later refusal that is certain of itself does not make
// the first attempt certain.
func TestSilenceThenRefusal(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.serve("kv.put.>", func(n int, _ *nats.Msg) *nats.Msg {
		switch n {
		case 1:
			return nil
		case 4:
			cancel()
		}
		return fails(api.KindNoLeader)
	})
	if _, err := b.client().Put(ctx, "/a", nil); !errors.Is(err, client.ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
}

// TestSilenceThenNoSpace: that the disk is full now does not say that the first
// attempt, which nobody answered, found it so. Without one it is certain.
func TestSilenceThenNoSpace(t *testing.T) {
	for silent, want := range map[bool]error{true: client.ErrTimeout, false: client.ErrNoSpace} {
		b := newBus(t)
		b.serve("kv.put.>", func(n int, _ *nats.Msg) *nats.Msg {
			if n == 1 && silent {
				return nil
			}
			return fails(api.KindNoSpace)
		})
		if _, err := b.client().Put(deadline(t), "/a", nil); !errors.Is(err, want) {
			t.Fatalf("silent first: %v: %v", silent, err)
		}
	}
}

// TestBrokenConnection: a request whose connection breaks is sent again on the
// next one.
func TestBrokenConnection(t *testing.T) {
	b := newBus(t)
	c := b.client()
	calls := b.serve("kv.put.>", func(n int, m *nats.Msg) *nats.Msg {
		if n == 1 {
			b.cut(c)
			return nil
		}
		return ok(m)
	})
	if _, err := c.Put(deadline(t), "/a", nil); err != nil {
		t.Fatal(err)
	}
	if list := calls.all(); list[0].Header.Get(api.HeaderMsgID) != list[len(list)-1].Header.Get(api.HeaderMsgID) {
		t.Fatal("another id")
	}
}

func TestClosedClient(t *testing.T) {
	b := newBus(t)
	c := b.client()
	c.Close()
	if _, err := c.Put(deadline(t), "/a", nil); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	if _, err := c.Watch(deadline(t), client.All()); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
}

func TestConnectFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.Connect(ctx, "nats://127.0.0.1:1"); !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
}
