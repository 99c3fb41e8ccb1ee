package client

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

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

// Revision is all that one revision changed in the span of a watch.
type Revision struct {
	Revision int64
	Events   []Event // in order, at least one
}

// errClosed ends a watch whose user closed it.
var errClosed = api.Errorf(api.KindUnavailable, "the watch was closed")

// Watcher delivers every change of a span once, in order, a revision at a time.
//
// It holds a bounded number of changes for a reader that is slow; when that is
// used up it lets go of what comes and reads it again from the history later.
// It rides out lost connections, failovers and the absence of the watch fan-out
// for as long as its context lives. What ends it is the context, Close, or
// ErrCompacted, when the changes that are next were compacted before they could
// be read.
type Watcher struct {
	c        *Client
	span     Span
	scope    watchstate.Scope
	state    *watchstate.State // run's alone
	messages chan *nats.Msg
	events   *nats.Subscription
	tail     *nats.Subscription
	progress *nats.Subscription
	dropped  int // messages that the subscriptions lost, as last seen
	cancel   context.CancelCauseFunc

	revisions chan Revision
	joined    chan struct{} // closed when it is known where the watch begins
	through   atomic.Pointer[api.Position]
	trouble   atomic.Pointer[error] // why the history could not be read last
	done      chan struct{}
	err       error // after done
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
		messages:  make(chan *nats.Msg, watchMessages),
		revisions: make(chan Revision),
		joined:    make(chan struct{}),
		done:      make(chan struct{}),
	}
	config := watchstate.Config{Match: w.scope.Match}
	for _, o := range opts {
		o(&config)
	}
	w.state = watchstate.New(config)
	w.publishThrough()
	if err := w.subscribe(); err != nil {
		return nil, err
	}
	ctx, w.cancel = context.WithCancelCause(ctx)
	go w.run(ctx)
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
	switch last := w.trouble.Load(); {
	case last != nil:
		return *last
	case w.err == error(errClosed):
		return api.Errorf(api.KindUnavailable, "no watch fan-out answers: check that one runs")
	}
	return w.err
}

// Next waits for the next revision that changed something. After the watch
// ended it returns why: the context's error, ErrCompacted, ErrUnavailable after
// Close.
func (w *Watcher) Next(ctx context.Context) (Revision, error) {
	select {
	case r := <-w.revisions:
		return r, nil
	case <-w.done:
		return Revision{}, w.err
	case <-ctx.Done():
		return Revision{}, ctx.Err()
	}
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
func (w *Watcher) Through() api.Position { return *w.through.Load() }

// Close ends the watch and waits for it to be gone.
func (w *Watcher) Close() {
	w.cancel(errClosed)
	<-w.done
}

func (w *Watcher) publishThrough() {
	p := w.state.Through()
	if old := w.through.Load(); old == nil || *old != p {
		w.through.Store(&p)
	}
}
