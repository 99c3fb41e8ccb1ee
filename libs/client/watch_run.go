package client

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

const (
	// askPatience bounds one question, its repetitions included. The next one
	// asks what is missing then.
	askPatience = 5 * time.Second
	// herdSpread is over how long the watchers spread that lose the same
	// message at the same time.
	herdSpread = 200 * time.Millisecond
)

// asker is the question under way, if there is one.
type asker struct {
	timer  *time.Timer // until it is asked
	herd   bool        // it waits because others ask, too
	busy   bool        // it has been asked
	pause  *backoff    // after a failure
	failed bool
}

// step gives the state what happened, if the watch goes on.
func (w *Watcher) step(happen func(*watchstate.State)) {
	w.mu.Lock()
	if w.err == nil {
		happen(w.state)
		w.plan()
	}
	w.unlock()
}

// unlock ends a change. It wakes a reader if there is one and something for it;
// who is woken for nothing or with more to come wakes the next.
func (w *Watcher) unlock() {
	wake := w.waiting > 0
	if wake && w.err == nil {
		_, wake = w.state.Peek()
	}
	w.mu.Unlock()
	if wake {
		select {
		case w.wakeup <- struct{}{}:
		default:
		}
	}
}

// end ends the watch. The first word counts.
func (w *Watcher) end(err error) {
	w.mu.Lock()
	first := w.err == nil
	if first {
		w.err = err
		w.asker.stop()
	}
	w.unlock()
	if first {
		w.cancel()
		w.c.ignore(w)
		close(w.done)
	}
}

// plan sets when the state's question, if it has one, is asked.
func (w *Watcher) plan() {
	a := &w.asker
	q, ok := w.state.Question()
	switch {
	case !ok || a.busy:
		return
	case a.timer != nil && (!a.herd || q.Herd):
		return
	}
	var delay time.Duration
	switch {
	case a.failed || q.Futile > 0:
		delay = a.pause.duration(busyPause)
	case q.Herd:
		delay = rand.N(herdSpread)
	}
	a.stop()
	a.herd = q.Herd
	a.timer = time.AfterFunc(delay, w.ask)
}

func (a *asker) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// asked is a question of a watch.
type asked struct {
	w        *Watcher
	question watchstate.Question
}

// ask asks the state's question, if it still has one, and gives it the answer.
// What made all others ask as well is asked for all of them at once.
func (w *Watcher) ask() {
	first, ok := w.begin(nil)
	if !ok {
		return
	}
	list, ctx := []asked{first}, w.ctx
	if first.question.Herd {
		list, ctx = w.listener.begin(first), w.listener.link.closed
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	answer, err := w.c.history(ctx, w.span, first.question.Since, nil)
	for _, a := range list {
		a.w.finish(a.question, answer, err)
	}
}

// begin takes the state's question, if it has one: the same as another's, if
// there is another.
func (w *Watcher) begin(other *asked) (a asked, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other == nil {
		w.asker.stop()
	}
	q, ok := w.state.Question()
	if !ok || w.asker.busy || w.err != nil || other != nil && !w.asksFor(q, other) {
		return asked{}, false
	}
	w.asker.stop()
	w.asker.busy = true
	return asked{w, q}, true
}

func (w *Watcher) asksFor(q watchstate.Question, other *asked) bool {
	a, b := q.Since, other.question.Since
	return (a == nil) == (b == nil) && (a == nil || *a == *b) &&
		bytes.Equal(w.span.key, other.w.span.key) && bytes.Equal(w.span.end, other.w.span.end)
}

// finish gives the state what its question has led to.
func (w *Watcher) finish(q watchstate.Question, answer *kvpb.HistoryResponse, err error) {
	w.mu.Lock()
	w.asker.busy, w.asker.failed = false, err != nil
	if w.err == nil {
		if err == nil {
			w.answered(q, answer)
		} else {
			w.trouble = err
			err = w.refused(q, err)
		}
		if err == nil {
			w.plan()
		}
	}
	w.unlock()
	if err != nil {
		w.end(err)
	}
}

func (w *Watcher) answered(q watchstate.Question, a *kvpb.HistoryResponse) {
	w.trouble = nil
	if q.Futile == 0 {
		w.asker.pause = newBackoff()
	}
	w.state.Answer(q, watchstate.Answer{
		Events: a.GetEvents(), Through: positionOf(a.GetThrough()),
		More: a.GetMore(), Epoch: epochOf(a.GetEpoch()),
	})
	select {
	case <-w.joined:
	default:
		close(w.joined)
	}
}

// refused takes that there was no answer. The error ends the watch.
func (w *Watcher) refused(q watchstate.Question, err error) error {
	switch kind := api.KindOf(err); {
	case w.ctx.Err() != nil:
		return context.Cause(w.ctx)
	case kind == api.KindCompacted:
		var at int64
		if e, ok := asError(err); ok {
			at = e.Compacted
		}
		return w.state.Compacted(q, at)
	case kind.Retryable(), kind == api.KindFutureRevision:
		return nil
	}
	return err
}
