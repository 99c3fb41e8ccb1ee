package client

import (
	"context"
	"sync"

	"github.com/kvorum/kvorum/libs/api"
)

// hold is a name that a session holds.
type hold struct {
	place  *place
	ctx    context.Context // ends when it is lost or given up; its cause says why
	cancel context.CancelCauseFunc
}

func newHold(p *place) *hold {
	h := &hold{place: p}
	h.ctx, h.cancel = context.WithCancelCause(p.s.ctx)
	p.s.task(h.guard)
	return h
}

// guard waits for somebody to delete the key that holds the name, so that this
// is known before the lease ends. Without a watch fan-out the lease has to do.
func (h *hold) guard() {
	c, key := h.place.s.client, contender(h.place.name, h.place.s.lease)
	for pause := newBackoff(); ; {
		taken, err := h.watch(c, key)
		if taken {
			lost := api.Errorf(api.KindNotHeld, "the key %q was deleted: %q may be another's", key, h.place.name)
			h.cancel(lost)
			h.place.gone(lost)
			return
		}
		if err != nil && !pause.sleep(h.ctx, busyPause) {
			return
		}
	}
}

// watch returns when the key was taken away, or when it cannot be told.
func (h *hold) watch(c *Client, key string) (taken bool, err error) {
	now, err := c.Range(h.ctx, Key(key))
	if err != nil {
		return false, err
	}
	if len(now.KVs) == 0 || now.KVs[0].CreateRevision != h.place.fence {
		return true, nil
	}
	w, err := c.Watch(h.ctx, Key(key), From(now.Revision+1))
	if err != nil {
		return false, err
	}
	defer w.Close()
	for r, err := range w.Revisions() {
		if err != nil {
			return false, err
		}
		for _, e := range r.Events {
			if e.Delete {
				return true, nil
			}
		}
	}
	return false, h.ctx.Err()
}

// err is nil while the name is certain to be held.
func (h *hold) err() error {
	if err := h.place.s.Err(); err != nil {
		return err
	}
	return context.Cause(h.ctx)
}

// giveUp stops believing in the hold and then gives it up. If ctx ends before
// that is certain, the session goes on trying.
func (h *hold) giveUp(ctx context.Context) error {
	if err := h.err(); err != nil {
		return err
	}
	h.cancel(errGivenUp)
	h.place.leave()
	ctx, cancel := withDeadline(ctx, h.place.s.client.timeout)
	defer cancel()
	select {
	case <-h.place.left:
		return h.place.err
	case <-ctx.Done():
		return withCause(api.Errorf(api.KindTimeout, "no answer yet: the session goes on giving %q up", h.place.name), ctx)
	}
}

// seat is what a Mutex and an Election share: the name, and the hold on it.
type seat struct {
	s    *Session
	name string

	mu    sync.Mutex
	held  *hold
	fence int64 // the last one
}

func (t *seat) take(ctx context.Context, value []byte) (int64, error) {
	h, err := t.s.enter(ctx, t.name, value)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.fence = h, h.place.fence
	return t.fence, nil
}

func (t *seat) giveUp(ctx context.Context) error {
	t.mu.Lock()
	h := t.held
	t.held = nil
	t.mu.Unlock()
	if h == nil {
		return api.Errorf(api.KindNotHeld, "%q is not held here", t.name)
	}
	return h.giveUp(ctx)
}

func (t *seat) hold() *hold {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

// Done is closed when the name is lost: its holder was deleted, or the session
// is over. It is closed where the name is not held.
func (t *seat) Done() <-chan struct{} {
	if h := t.hold(); h != nil {
		return h.ctx.Done()
	}
	return closed
}

// Err is nil while the name is certain to be held. It looks at the clock itself.
func (t *seat) Err() error {
	if h := t.hold(); h != nil {
		return h.err()
	}
	return api.Errorf(api.KindNotHeld, "%q is not held here", t.name)
}

// Context is a context that ends with ctx or when the name is lost or given up.
func (t *seat) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if h := t.hold(); h != nil {
		return joined(ctx, h.ctx)
	}
	ended, cancel := context.WithCancelCause(ctx)
	cancel(t.Err())
	return ended, func() {}
}

// Fence is the revision at which the name was taken last, 0 if it never was.
// Every later holder has a greater one.
func (t *seat) Fence() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fence
}

// Key is the key that holds the name, or stands in line for it.
func (t *seat) Key() string { return contender(t.name, t.s.lease) }

// Held is the comparison for transactions that the name is held under Fence:
// what a holder writes that was overtaken and does not know it is refused. It
// never holds where the name was never taken.
func (t *seat) Held() Compare {
	fence := t.Fence()
	if fence == 0 {
		fence = -1 // 0 would mean that nobody holds it
	}
	return LockHeld(t.name, fence)
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
