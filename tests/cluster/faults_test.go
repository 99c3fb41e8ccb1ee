package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// A leader that was stopped and goes on later does not answer from the past:
// reads that reached it before, while and after it slept see what others wrote
// meanwhile, or fail.
func TestPausedLeaderServesNothingStale(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	cl := c.Client()
	for round := range 3 {
		value := fmt.Sprint("old ", round)
		if _, err := cl.Put(ctx, "/paused", []byte(value)); err != nil {
			t.Fatal(err)
		}
		leader := c.Leader()
		// A connection to the paused node itself: its own server answers once
		// it wakes up.
		own, err := nats.Connect(c.URLs[leader], nats.PingInterval(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		inbox := own.NewRespInbox()
		answers, err := own.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := own.Flush(); err != nil {
			t.Fatal(err)
		}
		c.Nodes[leader].Signal(syscall.SIGSTOP)
		others := c.ClientOf((leader + 1) % 3)
		want := fmt.Sprint("new ", round)
		c.Until("a write to the others", func(ctx context.Context) bool {
			_, err := others.Put(ctx, "/paused", []byte(want))
			return err == nil
		})
		const reads = 50
		for range reads {
			if err := own.PublishRequest("kv.get.paused", inbox, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := own.FlushTimeout(10 * time.Millisecond); err == nil {
			t.Fatal("the paused node answers")
		}
		c.Nodes[leader].Signal(syscall.SIGCONT)
		answered := 0
		for range reads {
			m, err := answers.NextMsg(5 * time.Second)
			if err != nil {
				break // it was cut off; that is no stale answer
			}
			if e := api.ParseError(m.Header, m.Data); e == nil {
				if string(m.Data) != want {
					t.Fatalf("a stale answer: %q, want %q", m.Data, want)
				}
				answered++
			}
		}
		t.Logf("round %d: %d reads answered, none stale", round, answered)
	}
	sameDigests(t, c)
}

// A leader that hangs with all its connections open holds nobody up: writes go on
// while it is stopped, also those of clients that were connected to it, a watch
// through it goes on elsewhere, and no request is sent to it any more. When it
// goes on, nothing was lost.
func TestHungLeader(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	first, err := c.Client().Put(ctx, "/load/begin", nil)
	if err != nil {
		t.Fatal(err)
	}
	leader := c.Leader()
	// at connects to one node and knows of the others.
	at := func(i int) *client.Client {
		urls := append(append([]string{}, c.URLs[i:]...), c.URLs[:i]...)
		cl, err := client.Connect(ctx, strings.Join(urls, ","), client.NATS(nats.DontRandomize()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	of := func(cl *client.Client) string { return cl.Conn().ConnectedUrl() }
	listener := at(leader)
	seen := watchWith(t, ctx, listener, client.Prefix("/load/"))
	var clients []*client.Client
	for w := range 6 {
		clients = append(clients, at(w%3))
	}
	l := startLoadWith(t, clients)
	l.await(c, 300)
	c.Nodes[leader].Signal(syscall.SIGSTOP)
	for i := range c.Nodes {
		if i == leader {
			continue
		}
		nc := c.ClientOf(i).Conn()
		c.Until("a new leader", func(context.Context) bool {
			_, err := nc.Request("kv.put.plain", nil, 100*time.Millisecond)
			return err == nil
		})
		var lost atomic.Int64
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				if _, err := nc.Request(fmt.Sprintf("kv.put.plain.%d", n), nil, 5*time.Second); err != nil {
					lost.Add(1)
				}
			})
		}
		wg.Wait()
		if lost.Load() > 0 {
			t.Errorf("through node %d, %d of 40 requests were lost: they went to the hung node", i+1, lost.Load())
		}
	}
	for w, cl := range clients {
		before := l.acked[w].Load()
		c.Until(fmt.Sprintf("writer %d", w), func(context.Context) bool { return l.acked[w].Load() > before+20 })
		if of(cl) == c.URLs[leader] {
			t.Errorf("writer %d is still connected to the hung node", w)
		}
	}
	during := l.total()
	c.Until("the watch to go on", func(context.Context) bool { return int64(len(seen.snapshot())) > during })
	if of(listener) == c.URLs[leader] {
		t.Error("the watch is still connected to the hung node")
	}
	c.Nodes[leader].Signal(syscall.SIGCONT)
	l.await(c, 300)
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, c.Client())
	end, err := c.Client().Put(ctx, "/load/end", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Until("the watcher", func(context.Context) bool {
		evs := seen.snapshot()
		return len(evs) > 0 && evs[len(evs)-1].Position.Revision >= end.Revision
	})
	checkWatched(t, ctx, c.Client(), seen.snapshot(), first.Revision+1)
	sameDigests(t, c)
}

// A leader that is stopped in order hands over: writers hardly notice, and clients
// of the other nodes lose no request, even if they repeat none.
func TestGracefulStop(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	l := startLoad(t, c, 8)
	l.await(c, 500)
	leader := c.Leader()
	// Clients that repeat nothing, connected to the others.
	plain, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range 8 {
		nc := c.ClientOf((leader + 1 + n%2) % 3).Conn()
		wg.Go(func() {
			for plain.Err() == nil {
				m, err := nc.Request(fmt.Sprintf("kv.put.plain.%d", n), nil, 20*time.Second)
				if err == nil {
					if e := api.ParseError(m.Header, m.Data); e != nil {
						err = e
					}
				}
				if err != nil {
					t.Errorf("a client that repeats nothing: %v", err)
				}
			}
		})
	}
	l.longest.Store(0)
	c.Nodes[leader].Signal(syscall.SIGTERM)
	if code := c.Nodes[leader].Wait(); code != 0 {
		t.Errorf("it exits with %d", code)
	}
	l.await(c, 500)
	stop()
	wg.Wait()
	l.stop()
	l.wg.Wait()
	if n := l.unknown.Load(); n > 0 {
		t.Errorf("%d unknown outcomes", n)
	}
	t.Logf("longest gap between acknowledged writes: %v, unknown outcomes: %d", time.Duration(l.longest.Load()), l.unknown.Load())
	l.verify(t, ctx, c.Client())
	c.Nodes[leader].Start()
	sameDigests(t, c)
}

// When the publishing fan-out is killed under load, the other one takes over
// and watchers see everything once, in order.
func TestFanoutTakeover(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 2})
	ctx := bounded(t)
	cl := c.Client()
	first, err := cl.Put(ctx, "/load/begin", nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := watch(t, ctx, c, client.Prefix("/load/"))
	l := startLoad(t, c, 8)
	for _, victim := range []int{0, 1, 0} {
		l.await(c, 500)
		c.Fanouts[victim].Kill()
		l.await(c, 500)
		c.Until("the other one to answer", func(ctx context.Context) bool {
			_, err := cl.Sync(ctx, client.Prefix("/load/"))
			return err == nil
		})
		c.Fanouts[victim].Start()
	}
	l.stop()
	l.wg.Wait()
	end, err := cl.Put(ctx, "/load/end", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Until("the watcher", func(context.Context) bool {
		evs := seen.snapshot()
		return len(evs) > 0 && evs[len(evs)-1].Position.Revision >= end.Revision
	})
	checkWatched(t, ctx, cl, seen.snapshot(), first.Revision+1)
}

// A cluster that is left alone compacts its history by itself.
func TestAutoCompaction(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1, NodeFlags: []string{"--auto-compaction-retention", "200"}})
	ctx := bounded(t)
	cl := c.Client()
	var last int64
	for i := range 600 {
		p, err := cl.Put(ctx, "/a", []byte(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		last = p.Revision
	}
	c.Until("a compaction", func(ctx context.Context) bool {
		s, err := cl.Status(ctx)
		return err == nil && s.Compacted >= last-200-20 && s.Compacted <= last-200
	})
	if _, err := cl.Get(ctx, "/a", client.AtRevision(100)); api.KindOf(err) != api.KindCompacted {
		t.Errorf("a read below it: %v", err)
	}
	if kv, err := cl.Get(ctx, "/a", client.AtRevision(last-100)); err != nil || kv.ModRevision != last-100 {
		t.Errorf("a read above it: %v %v", kv, err)
	}
	sameDigests(t, c)
}

// A node whose disk is nearly full refuses what grows the store, keeps on
// deleting, and takes writes again when there is space.
func TestNearlyFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("NOT TESTED: mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	c := harness.Start(t, harness.Options{Nodes: 1, NodeFlags: []string{"--data-dir", filepath.Join(dir, "node"), "--min-free-bytes", "104857600"}})
	ctx := bounded(t)
	cl := c.Client()
	if _, err := cl.Put(ctx, "/a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	out, err := exec.Command("sh", "-c", fmt.Sprintf("free=$(df --output=avail -k %s | tail -1); dd if=/dev/zero of=%s bs=1k count=$((free-70000)) status=none", dir, ballast)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.Until("the alarm", func(ctx context.Context) bool {
		s, err := cl.Status(ctx)
		return err == nil && len(s.Alarms) == 1 && s.Alarms[0] == string(api.KindNoSpace)
	})
	if _, err := cl.Put(ctx, "/b", []byte("2")); api.KindOf(err) != api.KindNoSpace || !strings.Contains(err.Error(), "min-free-bytes") {
		t.Errorf("a put: %v", err)
	}
	if _, err := cl.Delete(ctx, "/a"); err != nil {
		t.Errorf("a delete: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.Until("writes again", func(ctx context.Context) bool {
		_, err := cl.Put(ctx, "/b", []byte("2"))
		return err == nil
	})
}
