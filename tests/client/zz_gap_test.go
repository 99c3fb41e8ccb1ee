package client

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

func TestZZGap(t *testing.T) {
	urls := os.Getenv("KVORUM_SERVER")
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	var mu sync.Mutex
	acked := map[int64]string{}
	var last time.Time
	var gap time.Duration
	var wg sync.WaitGroup
	c0, err := client.Connect(ctx, urls)
	if err != nil { t.Fatal(err) }
	st, _ := c0.Status(ctx)
	leader := st.GetLeader()
	w, err := c0.Watch(context.Background(), client.Prefix("/load/"))
	if err != nil { t.Fatal(err) }
	seen := map[int64]bool{}
	var lastRev int64
	wctx, wcancel := context.WithCancel(context.Background())
	wdone := make(chan struct{})
	go func() {
		defer close(wdone)
		for {
			r, err := w.Next(wctx)
			if err != nil { return }
			if r.Revision <= lastRev { t.Errorf("order %d after %d", r.Revision, lastRev) }
			lastRev = r.Revision
			seen[r.Revision] = true
		}
	}()
	stop := time.Now().Add(6 * time.Second)
	for i := range 16 {
		wg.Go(func() {
			c, err := client.Connect(ctx, urls)
			if err != nil { t.Error(err); return }
			defer c.Close()
			for n := 0; time.Now().Before(stop); n++ {
				res, err := c.Put(ctx, fmt.Sprintf("/load/%d", i), []byte(fmt.Sprint(n)))
				if err != nil { t.Error(err); return }
				mu.Lock()
				now := time.Now()
				if !last.IsZero() && now.Sub(last) > gap { gap = now.Sub(last) }
				last = now
				if acked[res.Revision] != "" { t.Errorf("revision %d twice", res.Revision) }
				acked[res.Revision] = "x"
				mu.Unlock()
			}
		})
	}
	time.Sleep(2 * time.Second)
	pid, _ := os.ReadFile("/tmp/cl/data/" + leader + ".pid")
	mu.Lock(); t.Log("gap before kill", gap, "acked", len(acked)); gap = 0; mu.Unlock()
	exec.Command("kill", "-9", strings.TrimSpace(string(pid))).Run()
	wg.Wait()
	time.Sleep(2 * time.Second)
	wcancel(); <-wdone
	missing := 0
	for r := range acked { if !seen[r] { missing++ } }
	t.Logf("killed %s: gap %v, %d acked, %d seen, %d missing, last %d", leader, gap, len(acked), len(seen), missing, lastRev)
}
