package natsbus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/nats-io/nats.go"
	"go.etcd.io/raft/v3/raftpb"
)

func clientConfig(name, listen string, routes ...string) ClientConfig {
	return ClientConfig{
		Name: name, Listen: listen, RouteListen: "127.0.0.1:0", Routes: routes, ClusterName: "test", Secret: "swordfish",
	}
}

func startClient(t *testing.T, cfg ClientConfig) *ClientBus {
	t.Helper()
	b, err := StartClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func service(t *testing.T, b *ClientBus) *nats.Conn {
	t.Helper()
	nc, err := b.Service()
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// dial connects as any client does.
func dial(t *testing.T, b *ClientBus, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(b.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func subscribe(t *testing.T, nc *nats.Conn, subject, queue string, f nats.MsgHandler) {
	t.Helper()
	if _, err := nc.QueueSubscribe(subject, queue, f); err != nil {
		t.Fatal(err)
	}
	// The server knows of it before anything else is sent to anybody.
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// first is the next value of c.
func first[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func TestAnonymousCannotSpeakForTheCluster(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	inside := service(t, b)
	denied := make(chan error, 100)
	outside := dial(t, b, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	heard := make(chan string, 100)
	subscribe(t, inside, ">", "", func(m *nats.Msg) { heard <- m.Subject })
	for _, subject := range []string{"kvwatch.db.primary", "kvtail.under", "kvtail.key.a", "kvprogress"} {
		if err := outside.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := outside.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := first(t, denied); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	subscribe(t, outside, "kv.put.>", "q", func(*nats.Msg) {})
	if err := outside.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := first(t, denied); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a client may answer requests: %v", err)
	}
	if err := outside.Publish("kv.put.db.primary", nil); err != nil {
		t.Fatal(err)
	}
	if got := first(t, heard); got != "kv.put.db.primary" {
		t.Errorf("heard %s", got)
	}
}

func TestInternalUsersAreNotForClients(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	for _, user := range []string{userService, userInternal} {
		for _, password := range []string{"", "guess", b.server.password} {
			if nc, err := nats.Connect(b.URL(), nats.UserInfo(user, password)); err == nil {
				nc.Close()
				t.Errorf("connected as %s with password %q", user, password)
			}
		}
	}
	pipesOnly := startClient(t, clientConfig("b", ""))
	if nc, err := nats.Connect(pipesOnly.URL()); err == nil {
		nc.Close()
		t.Error("connected to a server that takes no clients")
	}
	service(t, pipesOnly)
}

func TestUnknownOperationArrivesApart(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	inside, outside := service(t, b), dial(t, b)
	subscribe(t, inside, SubjectUnknown+">", "q", func(m *nats.Msg) {
		_ = m.Respond([]byte("unknown " + strings.TrimPrefix(m.Subject, SubjectUnknown)))
	})
	if err := inside.Flush(); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{
		"kv.frobnicate.x": "unknown kv.frobnicate.x", "kv.get": "unknown kv.get", "kv.txn.x": "unknown kv.txn.x",
		"kv.a.b.%.~": "unknown kv.a.b.%.~",
	} {
		m, err := outside.Request(subject, nil, patience)
		if err != nil || string(m.Data) != want {
			t.Errorf("%s: %v %v", subject, m, err)
		}
	}
	subjects := []string{"kv.get.db.%2E.~"}
	for _, op := range Operations {
		if strings.HasSuffix(op, ".") {
			op += "db.primary"
		} else if prefixed[op] {
			subjects = append(subjects, op+".db")
		}
		subjects = append(subjects, op)
	}
	for _, subject := range subjects {
		if _, err := outside.Request(subject, nil, patience); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s while nobody serves: %v", subject, err)
		}
	}
	subscribe(t, inside, "kv.>", "", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) })
	for _, subject := range subjects {
		m, err := outside.Request(subject, nil, patience)
		if err != nil || string(m.Data) != subject {
			t.Errorf("%s: arrived as %v %v", subject, m, err)
		}
	}
}

// A subscription is in effect everywhere once the publisher itself has
// answered a request that the subscriber sent after it.
func TestRequestIsABarrierForSubscriptions(t *testing.T) {
	const rounds = 2000
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	c := startClient(t, clientConfig("b", "", a.RouteAddress()))
	mustEventually(t, "the route", func() bool { return a.Routes() == 1 && c.Routes() == 1 })
	reader, publisher := dial(t, a), service(t, c)
	subscribe(t, publisher, "kv.sync", "", func(m *nats.Msg) { _ = m.Respond(nil) })
	mustEventually(t, "the publisher answers", func() bool {
		_, err := reader.Request("kv.sync", nil, patience)
		return err == nil
	})
	lost := 0
	for i := range rounds {
		subject := fmt.Sprintf("kvwatch.r%d", i)
		sub, err := reader.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Request("kv.sync", nil, patience); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Request("kv.sync", nil, patience); err != nil { // what was published before has arrived
			t.Fatal(err)
		}
		if n, _, err := sub.Pending(); err != nil || n != 1 {
			lost++
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
	if lost > 0 {
		t.Errorf("lost %d of %d", lost, rounds)
	}
}

// The feed's account crosses the route and is out of the clients' reach.
func TestFeedIsApart(t *testing.T) {
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	c := startClient(t, clientConfig("b", "", a.RouteAddress()))
	node, err := a.Internal()
	if err != nil {
		t.Fatal(err)
	}
	fanout, err := c.Internal()
	if err != nil {
		t.Fatal(err)
	}
	subscribe(t, node, "kv.feed", "q", func(m *nats.Msg) { _ = m.Respond([]byte("events")) })
	mustEventually(t, "the feed answers", func() bool {
		m, err := fanout.Request("kv.feed", nil, patience)
		return err == nil && string(m.Data) == "events"
	})
	if _, err := dial(t, a).Request("kv.put.x", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a client: %v", err)
	}
}

// Clients and nodes share no server and no connection: while clients saturate
// the client bus, all of a node's messages arrive, in order.
func TestFloodOfClientsLeavesPeersAlone(t *testing.T) {
	peers, sinks := startPeers(t, 2)
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	flood := dial(t, b)
	subscribe(t, dial(t, b), "flood", "", func(*nats.Msg) {})
	go func() {
		defer close(stopped)
		for data := make([]byte, 1024); ; {
			select {
			case <-stop:
				return
			default:
				_ = flood.Publish("flood", data)
			}
		}
	}()
	const count = 5000
	for i := range uint64(count) {
		if !peers[1].Send(2, []*raftpb.Message{raftMessage(i)}) {
			t.Fatal("a heartbeat did not fit")
		}
	}
	mustEventually(t, "all messages", func() bool { return sinks[2].count(1) == count })
	close(stop)
	<-stopped
	for i, index := range sinks[2].indexes[1] {
		if index != uint64(i) {
			t.Fatalf("message %d in place %d", index, i)
		}
	}
}

func TestClientPortTaken(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	taken := strings.TrimPrefix(b.URL(), "nats://")
	if _, err := StartClient(clientConfig("b", taken)); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v, want an error that names %s", err, taken)
	}
	cfg := clientConfig("b", "127.0.0.1:0")
	cfg.RouteListen = b.RouteAddress()
	if _, err := StartClient(cfg); err == nil || !strings.Contains(err.Error(), cfg.RouteListen) {
		t.Errorf("got %v, want an error that names %s", err, cfg.RouteListen)
	}
	// Taken between the check and the start: the server's own log tells.
	opts, password, err := clientOptions(clientConfig("c", taken))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startServer(opts, newServerLog(nil, nil), password); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want the reason", err)
	}
}

func TestLameDuckSendsClientsAway(t *testing.T) {
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	closed, asked := make(chan struct{}), make(chan struct{})
	dial(t, a, nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(asked) }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	listen := strings.TrimPrefix(a.URL(), "nats://")
	a.LameDuck()
	first(t, asked)
	first(t, closed)
	startClient(t, clientConfig("b", listen))
}

func TestBigValueFits(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	inside, outside := service(t, b), dial(t, b)
	subscribe(t, inside, "kv.>", "", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err := inside.Flush(); err != nil {
		t.Fatal(err)
	}
	subject := "kv.put." + strings.Repeat("%FF", api.MaxSubjectKeyBytes)
	m, err := outside.Request(subject, make([]byte, 7<<20), patience)
	if err != nil || len(m.Data) != 7<<20 {
		t.Errorf("7 MiB on a subject of %d bytes: %v", len(subject), err)
	}
}

// The set of routes is another one than before whenever a route was lost or came.
func TestRouteSet(t *testing.T) {
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	last := a.RouteSet()
	another := func(what string, routes int) {
		t.Helper()
		mustEventually(t, what, func() bool { return a.Routes() == routes })
		if a.RouteSet() == last {
			t.Errorf("%s: the set is still %d", what, last)
		}
		if last = a.RouteSet(); a.RouteSet() != last {
			t.Errorf("%s: the set changes without a change", what)
		}
	}
	for range 2 {
		b := startClient(t, clientConfig("b", "", a.RouteAddress()))
		another("a route", 1)
		c := startClient(t, clientConfig("c", "", a.RouteAddress()))
		another("a second route", 2)
		b.Close()
		c.Close()
		another("no route", 0)
	}
}
