//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// watchWork is the clients that watch.
type watchWork struct {
	l    *load
	end  chan struct{} // closed when last is known
	last api.Position  // of the phase's last event
}

// watcher is one of them.
type watcher struct {
	l    *load
	id   int
	c    *client.Client
	span client.Span
	log  *check.Watch
	w    *client.Watcher
	rng  *rand.Rand
	n    int
}

// watched are the ranges that are watched, in turn.
var watched = []struct{ key, end string }{
	{"\x00", "\x00"}, {"/k/hot/", "/k/hot0"}, {"/k/many/", "/k/many0"}, {"/k/hot/1", ""}, {"/k/many/0", "/k/many/3"},
}

func startWatches(l *load) (*watchWork, error) {
	work := &watchWork{l: l, end: make(chan struct{})}
	for i := range watchClients {
		c, err := l.dial(i)
		if err != nil {
			return nil, err
		}
		w := &watcher{l: l, id: i, c: c, rng: rand.New(rand.NewPCG(uint64(l.phase), uint64(i)))}
		if i == 0 {
			w.span = client.All()
		} else if r := watched[i]; r.end == "" {
			w.span = client.Key(r.key)
		} else {
			w.span = client.Interval(r.key, r.end)
		}
		l.watching.Go(func() {
			defer c.Close()
			work.run(w)
		})
	}
	return work, nil
}

// finish lets every watch go on until it has all up to a position. It is called
// once nobody writes any more.
func (work *watchWork) finish(last api.Position) {
	work.last = last
	close(work.end)
}

// run watches, now and then anew, until the phase ends and the watch is through.
func (work *watchWork) run(w *watcher) {
	for !w.begin() {
		if work.l.ctx.Err() != nil {
			return
		}
	}
	defer func() { w.w.Close() }()
	renew := time.Now().Add(w.lifetime())
	var patience <-chan time.Time
	ended := work.end
	for {
		if patience == nil && time.Now().After(renew) {
			renew = time.Now().Add(w.lifetime())
			if !w.resume() {
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
		r, err := w.w.Next(ctx)
		cancel()
		if !w.took(r, err) {
			return
		}
		select {
		case <-ended:
			ended, patience = nil, time.After(healPatience)
		case <-patience:
			w.log.Ended = true // it had its time: let the judgement name what is missing
			return
		default:
		}
		if patience != nil && !work.last.After(w.through()) {
			w.log.Ended = true
			return
		}
	}
}

func (w *watcher) lifetime() time.Duration {
	return 3*time.Second + time.Duration(w.rng.IntN(20))*time.Second
}

func (w *watcher) through() api.Position { return w.log.Steps[len(w.log.Steps)-1].Through }

// begin starts a watch from now on.
func (w *watcher) begin() bool {
	r := watched[w.id]
	w.n++
	w.log = &check.Watch{Name: fmt.Sprintf("phase %d watcher %d.%d", w.l.phase, w.id, w.n), Key: []byte(r.key), End: []byte(r.end), Asked: w.l.rec.now()}
	var err error
	if w.w, err = w.c.Watch(context.Background(), w.span); err != nil {
		return false
	}
	// Where it begins is known as soon as it was answered, a moment later here.
	for w.w.Through() == (api.Position{}) {
		time.Sleep(time.Millisecond)
	}
	w.log.Steps = append(w.log.Steps, check.Step{At: w.l.rec.now(), Through: w.w.Through()})
	w.l.rec.watch(w.log)
	return true
}

// resume drops the watch and begins it anew behind what it has delivered.
func (w *watcher) resume() bool {
	w.w.Close()
	for {
		again, err := w.c.Watch(context.Background(), w.span, client.Since(w.through()))
		switch {
		case err == nil:
			w.w = again
			w.log.Steps = append(w.log.Steps, check.Step{At: w.l.rec.now(), Through: w.through(), Resumed: true})
			return true
		case errors.Is(err, client.ErrCompacted):
			return w.compacted(err)
		case w.l.ctx.Err() != nil && !w.l.c.alive():
			return false
		}
	}
}

// took records what Next gave. It returns false where the watch cannot go on.
func (w *watcher) took(r client.Revision, err error) bool {
	switch {
	case err == nil:
		step := check.Step{At: w.l.rec.now(), Revision: r.Revision, Through: api.End(r.Revision)}
		for _, e := range r.Events {
			step.Events = append(step.Events, e.Proto())
		}
		if p := w.w.Through(); p.After(step.Through) {
			step.Through = p
		}
		w.log.Steps = append(w.log.Steps, step)
	case errors.Is(err, context.DeadlineExceeded):
		if p := w.w.Through(); p.After(w.through()) {
			w.log.Steps = append(w.log.Steps, check.Step{At: w.l.rec.now(), Through: p})
		}
	case errors.Is(err, client.ErrCompacted):
		return w.compacted(err)
	default:
		w.l.c.fail("%s ended: %v", w.log.Name, err)
		return false
	}
	return true
}

// compacted ends the watch and begins another one.
func (w *watcher) compacted(err error) bool {
	var told *api.Error
	if errors.As(err, &told) {
		w.log.Compacted = told.Compacted
	}
	for !w.begin() {
		if w.l.ctx.Err() != nil && !w.l.c.alive() {
			return false
		}
	}
	return true
}
