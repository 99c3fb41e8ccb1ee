package client

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

// patience ends a test that hangs. Nothing waits for it otherwise.
const patience = 30 * time.Second

// bus is a NATS server with a connection for the fakes.
type bus struct {
	t      *testing.T
	server *server.Server
	nc     *nats.Conn
}

func newBus(t *testing.T) *bus {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: api.MaxPayloadBytes})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &bus{t: t, server: s, nc: nc}
}

// client connects a client.
func (b *bus) client(opts ...client.Option) *client.Client {
	b.t.Helper()
	c, err := client.Connect(deadline(b.t), b.server.ClientURL(), opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// cut breaks the client's connection from the server's side.
func (b *bus) cut(c *client.Client) {
	b.t.Helper()
	id, err := c.Conn().GetClientID()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.server.DisconnectClientByID(id); err != nil {
		b.t.Fatal(err)
	}
}

// calls are the requests that came on a subject.
type calls struct {
	mu   sync.Mutex
	list []*nats.Msg
}

func (c *calls) add(m *nats.Msg) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, m)
	return len(c.list)
}

func (c *calls) all() []*nats.Msg {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*nats.Msg(nil), c.list...)
}

// serve answers the requests on a subject; n counts them from 1. A nil answer is
// none.
func (b *bus) serve(subject string, answer func(n int, m *nats.Msg) *nats.Msg) *calls {
	b.t.Helper()
	c := new(calls)
	_, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
		if a := answer(c.add(m), m); a != nil {
			a.Subject = m.Reply
			_ = b.nc.PublishMsg(a)
		}
	})
	if err == nil {
		err = b.nc.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func fails(k api.Kind) *nats.Msg { return failsWith(api.Errorf(k, "as the test wants it")) }

func failsWith(e *api.Error) *nats.Msg {
	return &nats.Msg{Header: nats.Header(e.Header()), Data: e.Body()}
}

func answers(m proto.Message) *nats.Msg {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &nats.Msg{Header: nats.Header{api.HeaderContentType: {api.ContentProtobuf}}, Data: data}
}

func reads[M proto.Message](t *testing.T, m *nats.Msg, into M) M {
	t.Helper()
	if got := m.Header.Get(api.HeaderContentType); got != api.ContentProtobuf {
		t.Errorf("%s: content type %q", m.Subject, got)
	}
	if err := proto.Unmarshal(m.Data, into); err != nil {
		t.Errorf("%s: %v", m.Subject, err)
	}
	return into
}

func headers(pairs ...any) nats.Header {
	h := nats.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i].(string), fmt.Sprint(pairs[i+1]))
	}
	return h
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
