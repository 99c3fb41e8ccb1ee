package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
)

// A key with a time to live goes when its last put is that long ago, not
// before, and whoever watches is told that it expired.
func TestKeyTTL(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	cl := c.Client()
	s := shellOf(t, cl)
	raw, err := cl.Conn().SubscribeSync("kvwatch.beat.web-1")
	if err != nil {
		t.Fatal(err)
	}
	seen := watch(t, ctx, c, client.Prefix("/beat/"))
	if _, err := cl.Sync(ctx, client.All()); err != nil {
		t.Fatal(err)
	}
	first := s.must("kv.put.beat.web-1", "up", api.HeaderTTL, "1500ms")
	if ttl := first.header.Get(api.HeaderTTL); ttl != "1.5s" {
		t.Errorf("the put's time to live is %q", ttl)
	}
	var sent time.Time
	for range 4 { // together longer than the time to live
		sent = time.Now()
		s.must("kv.put.beat.web-1", "still up", api.HeaderTTL, "1500ms")
		time.Sleep(500 * time.Millisecond) // the beat
	}
	s.must("kv.put.beat.kept", "x", api.HeaderTTL, "1500ms")
	s.must("kv.put.beat.kept", "y")
	for n := 0; ; n++ {
		m, err := raw.NextMsg(20 * time.Second)
		if err != nil {
			t.Fatalf("after %d events: %v", n, err)
		}
		if m.Header.Get(api.HeaderEvent) == api.EventPut {
			if m.Header.Get(api.HeaderTTL) != "1.5s" || m.Header.Get(api.HeaderExpired) != "" {
				t.Errorf("a put is told with %v", m.Header)
			}
			continue
		}
		if lived := time.Since(sent); lived < 1500*time.Millisecond {
			t.Errorf("it is gone %v after its last put", lived)
		}
		if n != 5 || m.Header.Get(api.HeaderExpired) != "true" || m.Header.Get(api.HeaderEvent) != api.EventDelete {
			t.Errorf("event %d ends it: %v", n, m.Header)
		}
		break
	}
	// A later key's end shows that the time of the kept one is over.
	s.must("kv.put.beat.last", "x", api.HeaderTTL, "2s")
	c.Until("the last one's end", func(context.Context) bool {
		evs := seen.snapshot()
		return len(evs) > 0 && evs[len(evs)-1].Delete && evs[len(evs)-1].KV.Key == "/beat/last"
	})
	if kv, err := cl.Get(ctx, "/beat/kept"); err != nil || string(kv.Value) != "y" {
		t.Errorf("the key that was put again without a time to live: %v %v", kv, err)
	}
	answer, err := cl.Conn().Request("kv.history.beat", []byte(fmt.Sprintf(`{"since":"%d"}`, number(t, first.header.Get(api.HeaderRevision))-1)), 5*time.Second)
	if err != nil || strings.Count(string(answer.Data), `"expired":true`) != 2 {
		t.Errorf("the history is %s (%v)", answer.Data, err)
	}
	sameDigests(t, c)
}

// Keys that are due together go together.
func TestKeysExpireTogether(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1, Fanouts: 1})
	ctx := bounded(t)
	s := shellOf(t, c.Client())
	seen := watch(t, ctx, c, client.Prefix("/batch/"))
	var puts []string
	for i := range api.MaxTxnOps {
		puts = append(puts, fmt.Sprintf(`{"put":{"key":"/batch/%03d","value":"x","ttl":"1s"}}`, i))
	}
	s.must("kv.txn", `{"then":[`+strings.Join(puts, ",")+`]}`)
	c.Until("their end", func(context.Context) bool { return len(seen.snapshot()) == 2*api.MaxTxnOps })
	deletes := seen.snapshot()[api.MaxTxnOps:]
	for i, e := range deletes {
		if !e.Delete || !e.Expired || e.Position.Revision != deletes[0].Position.Revision || e.Position.Sub != int64(i) {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
}

// Times to live outlive everybody: after all nodes were killed, the same leases
// and keys run out.
func TestLeasesAfterRestart(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	cl := c.Client()
	s := shellOf(t, cl)
	long, short := s.grant(time.Hour), s.grant(10*time.Second)
	s.must("kv.put.r.long", "x", api.HeaderLease, long)
	s.must("kv.put.r.short", "x", api.HeaderLease, short)
	s.must("kv.put.r.ttl", "x", api.HeaderTTL, "10s")
	written := c.Status(ctx, cl, c.Leader()).AppliedIndex
	for i := range c.Nodes {
		c.Until("the state on disk", func(ctx context.Context) bool {
			s := c.Status(ctx, cl, i)
			return s != nil && s.CheckpointIndex >= written // so that no log entry tells of them again
		})
	}
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	c.Until("the short ones' end", func(ctx context.Context) bool {
		_, err := cl.Get(ctx, "/r/ttl")
		return api.KindOf(err) == api.KindNotFound && !s.exists(short)
	})
	if kv, err := cl.Get(ctx, "/r/long"); err != nil || fmt.Sprintf("%016x", uint64(kv.Lease)) != long || !s.exists(long) {
		t.Errorf("the long one: %v %v", kv, err)
	}
	if errs, err := s.renew(long); err != nil || errs[0] != "" {
		t.Errorf("renewing it: %v %v", errs, err)
	}
	sameDigests(t, c)
}
