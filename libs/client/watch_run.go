package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

const (
	// watchMessages bounds the messages between the connection and a watch. It
	// takes them at once whatever its reader does; a burst past the bound is
	// lost and read again from the history.
	watchMessages = 1024
	// askPatience bounds one question, its repetitions included. The next one
	// asks what is missing then.
	askPatience = 5 * time.Second
	// herdSpread is over how long the watchers spread that lose the same
	// message at the same time.
	herdSpread = 200 * time.Millisecond
)

// asked is a question with its answer.
type asked struct {
	question watchstate.Question
	answer   *kvpb.HistoryResponse
	err      error
}

// asker is the question under way, if there is one.
type asker struct {
	waiting <-chan time.Time // until it is asked
	herd    bool             // it waits because others ask, too
	busy    bool             // it has been asked
	pause   *backoff         // after a failure
	failed  bool
	answers chan asked
}

// subscribe makes all subscriptions deliver into one channel, which keeps the
// order in which the publisher sent.
func (w *Watcher) subscribe() error {
	for _, s := range []struct {
		subject string
		sub     **nats.Subscription
	}{{w.scope.Events, &w.events}, {w.scope.Tail, &w.tail}, {api.SubjectProgress, &w.progress}} {
		sub, err := w.c.nc.ChanSubscribe(s.subject, w.messages)
		if err != nil {
			w.unsubscribe()
			return api.Errorf(api.KindUnavailable, "cannot subscribe to %s: %v", s.subject, err)
		}
		*s.sub = sub
	}
	return nil
}

func (w *Watcher) unsubscribe() {
	for _, sub := range []*nats.Subscription{w.events, w.tail, w.progress} {
		if sub != nil {
			_ = sub.Unsubscribe() // fails only where the connection is gone, and it with it
		}
	}
}

// run drives the state with what the bus brings and with the reader's pace.
func (w *Watcher) run(ctx context.Context) {
	ask := &asker{pause: newBackoff(), answers: make(chan asked, 1)}
	defer close(w.done)
	defer w.unsubscribe()
	defer w.cancel(nil)
	link := w.c.link.current()
	var head Revision // what the reader is offered
	for {
		w.publishThrough()
		ask.plan(w.state)
		out := w.offer(&head)
		select {
		case <-ctx.Done():
			w.err = context.Cause(ctx)
			return
		case <-w.c.link.closed.Done():
			w.err = api.Errorf(api.KindUnavailable, "the NATS connection is closed: make a new client")
			return
		case <-link.Done():
			w.state.Interrupted()
			link = w.c.link.current()
		case out <- head:
			w.state.Pop()
			head = Revision{}
		case m := <-w.messages:
			w.receive(m)
		case <-ask.waiting:
			q, ok := w.state.Question()
			ask.begin(ok)
			if ok {
				go w.ask(ctx, q, ask.answers)
			}
		case a := <-ask.answers:
			if w.err = w.answered(a, ask); w.err != nil {
				return
			}
		}
	}
}

// plan sets when the state's question, if it has one, is asked.
func (a *asker) plan(s *watchstate.State) {
	q, ok := s.Question()
	switch {
	case !ok || a.busy:
		return
	case a.waiting != nil && (!a.herd || q.Herd):
		return
	}
	var delay time.Duration
	switch {
	case a.failed || q.Futile > 0:
		delay = a.pause.duration(busyPause)
	case q.Herd:
		delay = rand.N(herdSpread)
	}
	a.herd = q.Herd
	a.waiting = time.After(delay)
}

func (a *asker) begin(asking bool) {
	a.waiting, a.busy = nil, asking
}

func (w *Watcher) ask(ctx context.Context, q watchstate.Question, answers chan<- asked) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	resp, err := w.c.history(ctx, w.span, q.Since, nil)
	answers <- asked{q, resp, err}
}

// answered gives an answer to the state. The error ends the watch.
func (w *Watcher) answered(a asked, ask *asker) error {
	ask.busy = false
	ask.failed = a.err != nil
	if a.err == nil {
		if a.question.Futile == 0 {
			ask.pause = newBackoff()
		}
		w.state.Answer(a.question, watchstate.Answer{
			Events: a.answer.GetEvents(), Through: positionOf(a.answer.GetThrough()),
			More: a.answer.GetMore(), Epoch: epochOf(a.answer.GetEpoch()),
		})
		w.trouble.Store(nil)
		select {
		case <-w.joined:
		default:
			close(w.joined)
		}
		return nil
	}
	w.trouble.Store(&a.err)
	kind := api.KindOf(a.err)
	switch {
	case kind == api.KindCompacted:
		return w.compacted(a)
	case kind.Retryable(), kind == api.KindFutureRevision:
		return nil
	}
	return a.err
}

func (w *Watcher) compacted(a asked) error {
	var at int64
	if e, ok := asError(a.err); ok {
		at = e.Compacted
	}
	return w.state.Compacted(a.question, at)
}

// receive gives a message to the state. One that cannot be read is as good as
// lost.
func (w *Watcher) receive(m *nats.Msg) {
	var err error
	switch m.Sub {
	case w.events:
		var l watchstate.Live
		if l, err = watchstate.ParseLive(m.Subject, m.Header, m.Data, w.scope.Depth); err == nil {
			w.state.Live(l)
		}
	case w.tail:
		var t watchstate.Tail
		if t, err = watchstate.ParseTail(m.Header); err == nil {
			w.state.Tail(t)
		}
	case w.progress:
		var p watchstate.Progress
		if p, err = watchstate.ParseProgress(m.Header); err == nil {
			if n := w.lost(); n != w.dropped {
				w.dropped = n
				w.state.Interrupted()
			}
			w.state.Progress(p)
		}
	}
	if err != nil {
		w.state.Interrupted()
	}
}

// lost counts the messages that did not fit in the channel.
func (w *Watcher) lost() int {
	sum := 0
	for _, sub := range []*nats.Subscription{w.events, w.tail, w.progress} {
		n, _ := sub.Dropped() // fails only where the subscription is gone
		sum += n
	}
	return sum
}

// offer makes head the oldest revision that can be delivered; without one, the
// channel is nil.
func (w *Watcher) offer(head *Revision) chan<- Revision {
	if len(head.Events) == 0 {
		r, ok := w.state.Peek()
		if !ok {
			return nil
		}
		head.Revision, head.Events = r.Revision, make([]Event, len(r.Events))
		for i, e := range r.Events {
			head.Events[i] = eventOf(e)
		}
	}
	return w.revisions
}
