package containers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/kvorum/kvorum/libs/client"
)

// writers write at the same time, each key once; progressWrites is how many
// acknowledgements show that the cluster works on.
const (
	writers        = 8
	progressWrites = 400
)

// load writes until it is stopped and keeps what was acknowledged.
type load struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu           sync.Mutex
	acknowledged []string
	failed       error
}

func startLoad(ctx context.Context, c *client.Client) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for w := range writers {
		l.wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("%sw%d/%d", prefix, w, i)
				// Without ctx: a write that has begun is finished, so that
				// its outcome is known.
				_, err := c.Put(context.Background(), key, []byte(key))
				l.mu.Lock()
				if err == nil {
					l.acknowledged = append(l.acknowledged, key)
				} else if l.failed == nil {
					l.failed = fmt.Errorf("%s: %w", key, err)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// stop ends the load. No write may have failed: the client repeats it until
// the cluster serves again.
func (l *load) stop(t *testing.T) []string {
	l.cancel()
	l.wait.Wait()
	if l.failed != nil {
		t.Error(l.failed)
	}
	return l.acknowledged
}

// waitWrites waits until the load has gone on.
func (s *stack) waitWrites(l *load) {
	s.t.Helper()
	want := l.count() + progressWrites
	s.eventually("writes go on", func() error {
		if n := l.count(); n < want {
			return fmt.Errorf("%d acknowledged, want %d", n, want)
		}
		return nil
	})
}

// watched is what a watch has delivered.
type watched struct {
	mu   sync.Mutex
	last int64
	keys map[string]int // how often
	err  error
}

// startWatch watches all keys of the test until the test ends.
func startWatch(t *testing.T, c *client.Client) *watched {
	t.Helper()
	watcher, err := c.Watch(context.Background(), client.Prefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{keys: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r, err := range watcher.Revisions() {
			w.mu.Lock()
			if err == nil && r.Revision <= w.last {
				err = fmt.Errorf("revision %d came after %d", r.Revision, w.last)
			}
			if err != nil && w.err == nil {
				w.err = err
			}
			w.last = r.Revision
			for _, e := range r.Events {
				w.keys[e.KV.Key]++
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		watcher.Close()
		<-done
	})
	return w
}

// has tells whether the watch has delivered exactly keys, each once.
func (w *watched) has(keys map[string]bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	var wrong []string
	for key := range keys {
		if w.keys[key] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s %d times", key, w.keys[key]))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(w.keys) != len(keys) {
		return fmt.Errorf("%d keys seen, %d written; %d wrong, such as %.3q", len(w.keys), len(keys), len(wrong), wrong)
	}
	return nil
}
