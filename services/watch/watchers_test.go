package watch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

// watching is a node with a fan-out and a client of the Go library.
type watching struct {
	*node
	nc *nats.Conn
	c  *client.Client
}

func startWatching(t testing.TB) *watching {
	t.Helper()
	n := startNode(t)
	start(t, n, "watch-1", 0)
	nc, err := nats.Connect(n.bus.URL(), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	w := &watching{n, nc, client.New(nc)}
	t.Cleanup(w.c.Close)
	return w
}

func (w *watching) watch(t testing.TB, s client.Span, opts ...client.WatchOption) *client.Watcher {
	t.Helper()
	watch, err := w.c.Watch(t.Context(), s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return watch
}

// reads takes the revisions from one to another, each of which put the keys.
func reads(t testing.TB, w *client.Watcher, from, to int64, keys ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for want := from; want <= to; want++ {
		r, err := w.Next(ctx)
		if err != nil || r.Revision != want || len(r.Events) != len(keys) {
			t.Fatalf("next is revision %d with %d events, %v; want %d", r.Revision, len(r.Events), err, want)
		}
		for i, e := range r.Events {
			if said := fmt.Sprintf("%s at %d", keys[i], want); e.KV.Key != keys[i] || string(e.KV.Value[:len(said)]) != said {
				t.Fatalf("%s has the value %.40q, want %q", e.KV.Key, e.KV.Value, said)
			}
		}
	}
}

// Watches come and go on one connection, of the same scope, of others and of
// parts of it, while all is written to. Each gets everything from its beginning
// on.
func TestWatchesShare(t *testing.T) {
	n := startWatching(t)
	n.watch(t, client.Prefix("/a/")) // which is here from the beginning
	subscriptions := n.nc.NumSubscriptions()
	stop := make(chan struct{})
	var writing, watches sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				n.commit("/a/1", "/b", "/a/2")
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	kinds := []struct {
		span client.Span
		keys []string
	}{
		{client.Prefix("/a/"), []string{"/a/1", "/a/2"}}, {client.Prefix("/a/"), []string{"/a/1", "/a/2"}},
		{client.Key("/b"), []string{"/b"}}, {client.Prefix("/"), []string{"/a/1", "/b", "/a/2"}},
		{client.Interval("/a/1", "/a/2"), []string{"/a/1"}},
	}
	for i := range 100 {
		k := kinds[i%len(kinds)]
		watches.Go(func() {
			w := n.watch(t, k.span)
			defer w.Close()
			first, err := w.Next(t.Context())
			if err != nil || len(first.Events) != len(k.keys) {
				t.Errorf("begins with %v, %v", first, err)
				return
			}
			reads(t, w, first.Revision+1, first.Revision+int64(20+i), k.keys...)
		})
	}
	watches.Wait()
	close(stop)
	writing.Wait()
	if now := n.nc.NumSubscriptions(); now != subscriptions {
		t.Errorf("%d subscriptions, %d before", now, subscriptions)
	}
}

// A hundred watches of a key are one subscription, and none when they are gone.
func TestOneSubscription(t *testing.T) {
	n := startWatching(t)
	none := n.watch(t, client.Key("/x"))
	one := n.nc.NumSubscriptions()
	var list []*client.Watcher
	for range 100 {
		list = append(list, n.watch(t, client.Key("/x")))
	}
	if now := n.nc.NumSubscriptions(); now != one {
		t.Errorf("%d subscriptions for many, %d for one", now, one)
	}
	last := n.commit("/x")
	none.Close()
	for i, w := range list {
		reads(t, w, last, last, "/x")
		if i%3 > 0 {
			w.Close()
		}
	}
	last = n.commit("/x")
	for i, w := range list {
		if i%3 == 0 {
			reads(t, w, last, last, "/x")
			w.Close()
		} else if _, err := w.Next(t.Context()); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("a closed watch gives %v", err)
		}
	}
	if now := n.nc.NumSubscriptions(); now != one-3 {
		t.Errorf("%d subscriptions when all are closed, %d for one", now, one)
	}
	w := n.watch(t, client.Key("/x"))
	last = n.commit("/x")
	reads(t, w, last, last, "/x")
}

// A watch that nobody reads holds up none of those beside it, and has missed
// nothing when it is read.
func TestSlowReaderBesideFast(t *testing.T) {
	n := startWatching(t)
	slow, fast := n.watch(t, client.Key("/x")), n.watch(t, client.Key("/x"))
	const revisions, bytes = 400, 64 << 10 // more than a watch holds
	for i := range int64(revisions) {
		n.commitMore(bytes, "/x")
		reads(t, fast, i+1, i+1, "/x")
	}
	reads(t, slow, 1, revisions, "/x")
	last := n.commit("/x")
	reads(t, slow, last, last, "/x")
	reads(t, fast, last, last, "/x")
}

func TestReconnect(t *testing.T) {
	n := startWatching(t)
	list := []*client.Watcher{n.watch(t, client.Key("/x")), n.watch(t, client.Key("/x")), n.watch(t, client.Prefix("/"))}
	for i := range int64(20) {
		n.commit("/x")
		if err := n.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		n.commit("/x")
		for _, w := range list {
			reads(t, w, 2*i+1, 2*i+2, "/x")
		}
	}
}

// What all watches of a client ask at the same time is asked once.
func TestOneQuestion(t *testing.T) {
	n := startWatching(t)
	var list []*client.Watcher
	for range 100 {
		list = append(list, n.watch(t, client.Key("/x")))
	}
	other := dial(t, n.node)
	progress := make(chan *nats.Msg, 100)
	if _, err := other.ChanSubscribe(api.SubjectProgress, progress); err != nil {
		t.Fatal(err)
	}
	before := questions(t, other)
	if err := n.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	last := n.commit("/x")
	for _, w := range list {
		reads(t, w, last, last, "/x")
	}
	for range 5 {
		<-progress
	}
	if asked := questions(t, other) - before; asked == 0 || asked > len(list)/2 {
		t.Errorf("%d questions of %d watches", asked, len(list))
	}
}

// questions is how many requests for the history were answered.
func questions(t testing.TB, nc *nats.Conn) int {
	t.Helper()
	var stats struct {
		Endpoints []struct {
			Name     string
			Requests int `json:"num_requests"`
		}
	}
	m := ask(t, nc, "$SRV.STATS.kvorum-watch", "", nil)
	if err := json.Unmarshal(m.Data, &stats); err != nil || stats.Endpoints[0].Name != "history" {
		t.Fatalf("%s %v", m.Data, err)
	}
	return stats.Endpoints[0].Requests
}

// What several readers of a watch get together is everything once.
func TestReadersOfOneWatch(t *testing.T) {
	n := startWatching(t)
	w := n.watch(t, client.Key("/x"))
	const revisions = 2000
	var got [revisions + 1]atomic.Int32
	var count atomic.Int32
	var readers sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 8 {
		readers.Go(func() {
			for {
				r, err := w.Next(ctx)
				if err != nil {
					return
				}
				got[r.Revision].Add(1)
				if count.Add(1) == revisions {
					w.Close()
				}
			}
		})
	}
	for range revisions {
		n.commit("/x")
	}
	readers.Wait()
	for i := range got[1:] {
		if k := got[i+1].Load(); k != 1 {
			t.Fatalf("revision %d was given %d times", i+1, k)
		}
	}
}

func TestWatchEnds(t *testing.T) {
	n := startWatching(t)
	why := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancelled, err := n.c.Watch(ctx, client.Key("/x"))
	if err != nil {
		t.Fatal(err)
	}
	left := n.watch(t, client.Key("/x"))
	cancel(why)
	if _, err := cancelled.Next(t.Context()); err != why {
		t.Errorf("ended by its context with %v", err)
	}
	cancelled.Close()
	waits, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, err := left.Next(waits); !errors.Is(err, context.Canceled) {
		t.Errorf("reading ended with %v", err)
	}
	last := n.commit("/x")
	reads(t, left, last, last, "/x")
	n.c.Close()
	if _, err := left.Next(t.Context()); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("ended by the client's end with %v", err)
	}
	left.Close()
	if _, err := n.c.Watch(t.Context(), client.Key("/x")); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("on a closed client: %v", err)
	}
}

// BenchmarkWatchers measures what a delivery costs this whole process, node,
// fan-out and clients: watches of one key, 100 on each connection.
func BenchmarkWatchers(b *testing.B) {
	for _, watches := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(watches), func(b *testing.B) {
			n := startNode(b)
			start(b, n, "watch-1", 0)
			var delivered atomic.Int64
			var wg sync.WaitGroup
			var c *client.Client
			for i := range watches {
				if i%100 == 0 {
					c = client.New(dial(b, n))
					b.Cleanup(c.Close)
				}
				w, err := c.Watch(b.Context(), client.Key("/db/primary"))
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					for r := range w.Revisions() {
						if delivered.Add(1); r.Revision == int64(b.N/watches+1) {
							return
						}
					}
				})
			}
			began := cpu()
			b.ResetTimer()
			for i := range b.N/watches + 1 {
				n.commit("/db/primary")
				for int64(i*watches)-delivered.Load() > int64(64*watches) {
					time.Sleep(50 * time.Microsecond)
				}
			}
			wg.Wait()
			b.ReportMetric(float64(cpu()-began)/float64(delivered.Load()), "cpu-ns/op")
		})
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
