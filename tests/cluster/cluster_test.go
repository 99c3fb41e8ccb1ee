// Package cluster tests whole clusters of real processes: what is promised to
// users must hold when processes are killed, stopped and started again.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// bounded is a context for a test that must not hang.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// load is writers that put counting values until they are stopped.
type load struct {
	acked   []atomic.Int64 // per writer: highest value acknowledged
	unknown atomic.Int64
	longest atomic.Int64 // longest time between two acknowledgements, nanoseconds
	last    atomic.Int64
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

func (l *load) key(w int) string { return fmt.Sprintf("/load/%02d", w) }

func startLoad(t *testing.T, c *harness.Cluster, writers int) *load {
	var clients []*client.Client
	for range writers {
		clients = append(clients, c.Client())
	}
	return startLoadWith(t, clients)
}

func startLoadWith(t *testing.T, clients []*client.Client) *load {
	ctx, cancel := context.WithCancel(bounded(t))
	l := &load{acked: make([]atomic.Int64, len(clients)), stop: cancel}
	l.last.Store(time.Now().UnixNano())
	for w, cl := range clients {
		l.wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				_, err := cl.Put(ctx, l.key(w), []byte(fmt.Sprint(n)))
				switch {
				case err == nil:
					l.acked[w].Store(n)
					l.acknowledged()
				case ctx.Err() == nil && api.KindOf(err).Unknown():
					l.unknown.Add(1)
				case ctx.Err() == nil:
					n-- // certainly not applied
				}
			}
		})
	}
	return l
}

func (l *load) acknowledged() {
	now := time.Now().UnixNano()
	if gap := now - l.last.Swap(now); gap > l.longest.Load() {
		l.longest.Store(gap)
	}
}

func (l *load) total() (n int64) {
	for i := range l.acked {
		n += l.acked[i].Load()
	}
	return n
}

// await waits until more writes were acknowledged.
func (l *load) await(c *harness.Cluster, more int64) {
	want := l.total() + more
	c.Until(fmt.Sprintf("%d more writes", more), func(context.Context) bool { return l.total() >= want })
}

// verify reads every writer's key: its last acknowledged value, or one that was
// on its way.
func (l *load) verify(t *testing.T, ctx context.Context, cl *client.Client) {
	t.Helper()
	for w := range l.acked {
		kv, err := cl.Get(ctx, l.key(w))
		if err != nil {
			t.Fatalf("writer %d: %v", w, err)
		}
		var got int64
		if _, err := fmt.Sscan(string(kv.Value), &got); err != nil {
			t.Fatal(err)
		}
		if acked := l.acked[w].Load(); got < acked {
			t.Errorf("writer %d: %d was acknowledged, the store has %d", w, acked, got)
		}
	}
}

// sameDigests waits until all running nodes have applied the same and compares
// their states.
func sameDigests(t *testing.T, c *harness.Cluster) {
	t.Helper()
	cl := c.Client()
	c.Until("equal states on all nodes", func(ctx context.Context) bool {
		indexes, digests := map[uint64]bool{}, map[string]bool{}
		for i := range c.Nodes {
			s := c.Status(ctx, cl, i)
			if s == nil {
				return false
			}
			indexes[s.AppliedIndex], digests[s.Digest] = true, true
		}
		if len(indexes) == 1 && len(digests) != 1 {
			t.Fatalf("states differ at the same index: %v %v", indexes, digests)
		}
		return len(indexes) == 1
	})
}

// A watcher's record of one key's values.
type record struct {
	mu     sync.Mutex
	events []client.Event
}

func watch(t *testing.T, ctx context.Context, c *harness.Cluster, span client.Span) *record {
	t.Helper()
	return watchWith(t, ctx, c.Client(), span)
}

func watchWith(t *testing.T, ctx context.Context, cl *client.Client, span client.Span) *record {
	t.Helper()
	w, err := cl.Watch(ctx, span)
	if err != nil {
		t.Fatal(err)
	}
	r := &record{}
	go func() {
		for rev, err := range w.Revisions() {
			if err != nil {
				return
			}
			r.mu.Lock()
			r.events = append(r.events, rev.Events...)
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *record) snapshot() []client.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]client.Event{}, r.events...)
}

// Three clients watch a key, a fourth moves it with a compare, all see exactly
// that change. The leader is killed under load: nothing acknowledged is lost,
// and no watcher misses, repeats or reorders anything.
func TestStory(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 2})
	ctx := bounded(t)
	cl := c.Client()
	first, err := cl.Put(ctx, "/db/primary", []byte("10.0.0.5"))
	if err != nil {
		t.Fatal(err)
	}
	var watchers []*record
	for range 3 {
		watchers = append(watchers, watch(t, ctx, c, client.Key("/db/primary")))
	}
	all := watch(t, ctx, c, client.Prefix("/load/"))
	res, err := cl.Txn().If(client.ModRevision("/db/primary").Equal(first.Revision)).
		Then(client.Put("/db/primary", []byte("10.0.0.6"))).Commit(ctx)
	if err != nil || !res.Succeeded {
		t.Fatalf("moving the key: %v %v", res, err)
	}
	for i, w := range watchers {
		c.Until(fmt.Sprintf("watcher %d", i), func(context.Context) bool { return len(w.snapshot()) == 1 })
	}

	l := startLoad(t, c, 16)
	l.await(c, 2000)
	leader := c.Leader()
	l.longest.Store(0)
	c.Nodes[leader].Kill()
	l.await(c, 2000)
	t.Logf("longest gap between acknowledged writes after kill -9 of the leader: %v", time.Duration(l.longest.Load()))
	c.Nodes[leader].Start()
	l.await(c, 1000)
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, cl)

	end, err := cl.Put(ctx, "/load/end", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Until("the watcher of the load", func(context.Context) bool {
		evs := all.snapshot()
		return len(evs) > 0 && evs[len(evs)-1].Position.Revision >= end.Revision
	})
	checkWatched(t, ctx, cl, all.snapshot(), first.Revision)
	for i, w := range watchers {
		if evs := w.snapshot(); len(evs) != 1 || string(evs[0].KV.Value) != "10.0.0.6" {
			t.Errorf("watcher %d saw %v, want the one change", i, evs)
		}
	}
	sameDigests(t, c)
}

// checkWatched compares what a watcher of /load/ saw with the store's history.
func checkWatched(t *testing.T, ctx context.Context, cl *client.Client, seen []client.Event, from int64) {
	t.Helper()
	i := 0
	for e, err := range cl.History(ctx, client.Prefix("/load/"), from) {
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(seen) || seen[i].Position != e.Position || seen[i].KV.Key != e.KV.Key || string(seen[i].KV.Value) != string(e.KV.Value) {
			t.Fatalf("event %d of the history is %v, the watcher saw %v", i, e, seen[min(i, len(seen)-1)])
		}
		i++
	}
	if i != len(seen) {
		t.Errorf("the history has %d events, the watcher saw %d", i, len(seen))
	}
	t.Logf("the watcher saw all %d events, in order", i)
}

// Without a quorum, writes and linearizable reads are refused in bounded time,
// serializable ones answered; with one again, service resumes by itself.
func TestLostQuorum(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	if _, err := c.Client().Put(ctx, "/a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	sameDigests(t, c)
	c.Nodes[1].Kill()
	c.Nodes[2].Kill()
	cl := c.ClientOf(0)
	short, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	_, err := cl.Put(short, "/a", []byte("2"))
	if k := api.KindOf(err); k != api.KindNoLeader && k != api.KindTimeout {
		t.Errorf("a write without a quorum: %v", err)
	}
	short, cancel = context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	_, err = cl.Get(short, "/a")
	if k := api.KindOf(err); k != api.KindNoLeader && k != api.KindTimeout {
		t.Errorf("a linearizable read without a quorum: %v", err)
	}
	if kv, err := cl.Get(ctx, "/a", client.Serializable()); err != nil || string(kv.Value) != "1" && string(kv.Value) != "2" {
		t.Errorf("a serializable read without a quorum: %q %v", kv.Value, err)
	}
	c.Nodes[1].Start()
	c.Until("writes again", func(ctx context.Context) bool {
		_, err := cl.Put(ctx, "/a", []byte("3"))
		return err == nil
	})
	if kv, err := cl.Get(ctx, "/a"); err != nil || string(kv.Value) != "3" {
		t.Errorf("after the quorum is back: %q %v", kv.Value, err)
	}
}

// A read is answered by the node that the client is connected to.
func TestReadsStayWithTheClientsNode(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	who := func(nc *nats.Conn, subject string) string {
		m, err := nc.RequestWithContext(ctx, subject, nil)
		if err != nil {
			return err.Error()
		}
		return m.Header.Get(api.HeaderNode)
	}
	for i, n := range c.Nodes {
		nc := c.ClientOf(i).Conn()
		for _, subject := range []string{"kv.get.a", "kv.list", "kv.list.a", "kv.range", "kv.elect.leader"} {
			c.Until("it answers on "+subject+" itself, always", func(context.Context) bool {
				for range 20 {
					if who(nc, subject) != n.Name {
						return false
					}
				}
				return true
			})
		}
	}
}

// All nodes killed at once under load lose nothing that was acknowledged and
// come back with equal states.
func TestAllKilledAtOnce(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	l := startLoad(t, c, 16)
	for range 3 {
		l.await(c, 1500)
		for _, n := range c.Nodes {
			n.Signal(syscall.SIGKILL)
		}
		for _, n := range c.Nodes {
			n.Wait()
			n.Start()
		}
	}
	l.await(c, 500)
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, c.Client())
	sameDigests(t, c)
	t.Logf("%d writes acknowledged, %d unknown", l.total(), l.unknown.Load())
}

// A follower that was away while the log was truncated is brought back by a
// snapshot while the cluster serves.
func TestSnapshotToFollower(t *testing.T) {
	c := harness.Start(t, harness.Options{NodeFlags: []string{"--log-retain-bytes", "1048576"}})
	ctx := bounded(t)
	away := (c.Leader() + 1) % 3
	c.Nodes[away].Kill()
	writes := int64(200_000)
	if testing.Short() {
		writes = 30_000
	}
	fill(t, ctx, c, writes)
	cl := c.Client()
	leader := c.Leader()
	c.Until("the log to be truncated", func(ctx context.Context) bool {
		s := c.Status(ctx, cl, leader)
		return s != nil && s.FirstIndex > 100
	})
	l := startLoad(t, c, 4)
	before := strings.Count(c.Nodes[away].Log(), "answering reads")
	c.Nodes[away].Start()
	l.await(c, 500)
	c.Until("the follower to catch up", func(ctx context.Context) bool {
		s, lead := c.Status(ctx, cl, away), c.Status(ctx, cl, leader)
		return s != nil && lead != nil && s.AppliedIndex+100 >= lead.AppliedIndex
	})
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, cl)
	sameDigests(t, c)
	c.Until("it to answer reads again", func(context.Context) bool {
		return strings.Count(c.Nodes[away].Log(), "answering reads") > before
	})
	log := c.Nodes[away].Log()
	if last := strings.LastIndex(log, "answering reads"); last < strings.LastIndex(log, "received a snapshot") {
		t.Error("it answered reads before it had its state")
	}
	if !strings.Contains(log, "received a snapshot") {
		t.Error("the follower caught up without a snapshot: the test shows nothing")
	}
}

// fill writes many keys, in transactions of 100.
func fill(t *testing.T, ctx context.Context, c *harness.Cluster, writes int64) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 32 {
		cl := c.Client()
		wg.Go(func() {
			for failed.Load() == nil {
				n := next.Add(100) - 100
				if n >= writes {
					return
				}
				var ops []client.Op
				for i := range int64(100) {
					ops = append(ops, client.Put(fmt.Sprintf("/fill/%d", n+i), []byte("some value of a usual size")))
				}
				if _, err := cl.Txn().Then(ops...).Commit(ctx); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

// A write with an id takes effect once, however often it is sent.
func TestMsgID(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	cl := c.Client()
	a, err := cl.Put(ctx, "/once", []byte("x"), client.MsgID("id-1"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := cl.Put(ctx, "/once", []byte("x"), client.MsgID("id-1"))
	if err != nil || b.Revision != a.Revision {
		t.Errorf("the repetition gave revision %v (%v), the first %v", b, err, a.Revision)
	}
	if _, err := cl.Put(ctx, "/once", []byte("y"), client.MsgID("id-1")); api.KindOf(err) != api.KindBadRequest {
		t.Errorf("another request with the same id: %v", err)
	}
	c.Nodes[c.Leader()].Kill()
	b, err = cl.Put(ctx, "/once", []byte("x"), client.MsgID("id-1"))
	if err != nil || b.Revision != a.Revision {
		t.Errorf("after a failover the repetition gave %v (%v), the first %v", b, err, a.Revision)
	}
	kv, err := cl.Get(ctx, "/once")
	if err != nil || kv.Version != 1 {
		t.Errorf("the key has version %d (%v), want 1", kv.Version, err)
	}
	if _, err := cl.Get(ctx, "/missing"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("a missing key: %v", err)
	}
}
