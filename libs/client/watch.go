package client

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// WatchOption says where a watch begins.
type WatchOption func(*watchstate.Config)

// From begins with a revision, that one included. It may be the compacted
// revision or a later one, also one that does not exist yet. 0 is from now on.
func From(revision int64) WatchOption {
	return func(c *watchstate.Config) {
		c.Since = nil
		if revision > 0 {
			since := api.End(revision - 1)
			c.Since = &since
		}
	}
}

// Since begins after a position, such as another watch's Through.
func Since(p api.Position) WatchOption {
	return func(c *watchstate.Config) { c.Since = &p }
}

// Revision is all that one revision changed in the span of a watch. Watches of a
// client share the events: do not change them, nor their values.
type Revision struct {
	Revision int64
	Events   []Event // in order, at least one
}

// What ends a watch besides its context and its state: its user closed it, or
// the client.
var (
	errClosed           = api.Errorf(api.KindUnavailable, "the watch was closed")
	errConnectionClosed = api.Errorf(api.KindUnavailable, "the NATS connection is closed: make a new client")
)

// Watcher delivers every change of a span once, in order, a revision at a time.
//
// It holds a bounded number of changes for a reader that is slow; when that is
// used up it lets go of what comes and reads it again from the history later.
// Watches of one client that watch the same share what the connection brings,
// and nothing else: none waits for another's reader.
// It rides out lost connections, failovers and the absence of the watch fan-out
// for as long as its context lives. What ends it is the context, Close, or
// ErrCompacted, when the changes that are next were compacted before they could
// be read.
type Watcher struct {
	c        *Client
	span     Span
	scope    watchstate.Scope
	listener *listener
	topic    *topic // with place, the listener's
	place    int
	ctx      context.Context // its user's, until it ends
	cancel   context.CancelFunc
	joined   chan struct{} // closed when it is known where the watch begins
	done     chan struct{} // closed when it is gone
	wakeup   chan struct{} // holds one, for one of the waiting readers

	mu      sync.Mutex
	state   *watchstate.State
	asker   asker
	waiting int   // readers
	trouble error // why the history could not be read last
	err     error // what ended it
}

// Watch watches a span: from now on, unless an option says otherwise. When it
// returns, the watch is in place: what is written from then on will be
// delivered. Until then it waits for the watch fan-out as every call does;
// afterwards ctx bounds the watch.
func (c *Client) Watch(ctx context.Context, s Span, opts ...WatchOption) (*Watcher, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	w := &Watcher{
		c: c, span: s, scope: watchstate.ScopeOf(s.key, s.end),
		asker:  asker{pause: newBackoff()},
		joined: make(chan struct{}),
		done:   make(chan struct{}),
		wakeup: make(chan struct{}, 1),
	}
	config := watchstate.Config{Match: w.scope.Match}
	for _, o := range opts {
		o(&config)
	}
	w.state = watchstate.New(config)
	w.ctx, w.cancel = context.WithCancel(ctx)
	if err := c.listen(w); err != nil {
		w.cancel()
		return nil, err
	}
	context.AfterFunc(w.ctx, func() { w.end(context.Cause(w.ctx)) })
	w.step(func(*watchstate.State) {}) // asks where it begins
	if c.link.over() {
		w.end(errConnectionClosed)
	}
	return w, w.awaitJoin()
}

// awaitJoin waits for the first answer, and gives up as any call does.
func (w *Watcher) awaitJoin() error {
	patience := time.NewTimer(w.c.timeout)
	defer patience.Stop()
	select {
	case <-w.joined:
		return nil
	case <-w.done:
	case <-patience.C:
		w.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.trouble != nil:
		return w.trouble
	case w.err == error(errClosed):
		return api.Errorf(api.KindUnavailable, "no watch fan-out answers: check that one runs")
	}
	return w.err
}

// Next waits for the next revision that changed something. After the watch
// ended it returns why: the context's error, ErrCompacted, ErrUnavailable after
// Close.
func (w *Watcher) Next(ctx context.Context) (Revision, error) {
	w.mu.Lock()
	for {
		if w.err != nil {
			break
		}
		if r, ok := w.state.Pop(); ok {
			w.plan()
			w.unlock()
			return w.listener.revision(r), nil
		}
		w.waiting++
		w.mu.Unlock()
		select {
		case <-w.wakeup:
		case <-ctx.Done():
		}
		w.mu.Lock()
		w.waiting--
		if err := ctx.Err(); err != nil {
			w.unlock()
			return Revision{}, err
		}
	}
	w.unlock()
	return Revision{}, w.err
}

// Revisions iterates until the watch ends; the last step has the error, unless
// Close ended it.
func (w *Watcher) Revisions() iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		for {
			r, err := w.Next(context.Background())
			if err != nil {
				if err != error(errClosed) {
					yield(Revision{}, err)
				}
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Through is the position up to which everything has been handed out. It moves
// on while nothing changes in the span, so that a watch that begins Since it
// later does not ask for what may be compacted by then.
func (w *Watcher) Through() api.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Through()
}

// Close ends the watch and waits for it to be gone.
func (w *Watcher) Close() {
	w.end(errClosed)
	<-w.done
}
