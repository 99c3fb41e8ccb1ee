package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// ErrDiscontinuous says that a node's page does not continue the one before.
var ErrDiscontinuous = errors.New("feed: a page does not continue the one before")

// Follow gives every event after a position to handle, page by page, until ctx
// ends, handle fails or the feed cannot be continued: with an *api.Error of
// api.KindCompacted if what follows is compacted, or ErrDiscontinuous. It never
// returns nil.
//
// A page has through set even if it is empty: every event up to there was given.
// Empty pages come a few times each second. The next page is asked for when
// handle returns. log, which may be nil, is told when the feed is lost and found.
func Follow(ctx context.Context, nc *nats.Conn, after api.Position, log *slog.Logger, handle func(*kvpb.FeedResponse) error) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := follower{nc: nc, after: after, log: log, grace: graceMin}
	for {
		page, err := f.next(ctx)
		if err != nil {
			return err
		}
		if err := f.admit(page); err != nil {
			return err
		}
		if err := handle(page); err != nil {
			return err
		}
	}
}

type follower struct {
	nc    *nats.Conn
	after api.Position
	log   *slog.Logger
	grace time.Duration
	lost  bool // and logged
}

// next asks until a node answers.
func (f *follower) next(ctx context.Context) (*kvpb.FeedResponse, error) {
	pause := pauseMin
	for {
		var failed error
		for _, subject := range []string{SubjectLeader, SubjectAny} {
			page, err := f.ask(ctx, subject)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if api.KindOf(err) == api.KindCompacted {
				return nil, err
			}
			if err == nil {
				f.found()
				return page, nil
			}
			failed = err
		}
		if pause >= pauseMax && !f.lost {
			f.lost = true
			f.log.Warn("the feed of committed revisions is lost; asking on", "error", failed)
		}
		if err := wait(ctx, pause/2+rand.N(pause)); err != nil {
			return nil, err
		}
		pause = min(2*pause, pauseMax)
	}
}

func (f *follower) found() {
	if f.lost {
		f.lost = false
		f.log.Info("the feed of committed revisions is back")
	}
}

func (f *follower) ask(ctx context.Context, subject string) (*kvpb.FeedResponse, error) {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, waitMillis*time.Millisecond+f.grace)
	defer cancel()
	page, err := Ask(limited, f.nc, subject, &kvpb.FeedRequest{
		After: Wire(f.after), MaxBytes: PageBytes, WaitMillis: waitMillis,
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.grace = min(2*f.grace, graceMax)
	case err == nil:
		f.grace = graceMin
		if len(page.Events) == 0 && time.Since(started) < waitMillis*time.Millisecond/4 {
			// The node did not wait, perhaps because it stops.
			return page, wait(ctx, pauseMin)
		}
	}
	return page, err
}

// admit checks that a page continues what was given, and makes its through good
// for a page that brings nothing.
func (f *follower) admit(page *kvpb.FeedResponse) error {
	at := f.after
	for _, e := range page.Events {
		p := api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.Sub}
		if !p.After(at) {
			return fmt.Errorf("%w: node %s gives %v after %v", ErrDiscontinuous, page.Node, p, at)
		}
		at = p
	}
	through := Position(page.Through)
	if len(page.Events) > 0 {
		if at.After(through) {
			return fmt.Errorf("%w: node %s gives %v and says that it goes through %v", ErrDiscontinuous, page.Node, at, through)
		}
		if page.Events[len(page.Events)-1].Last {
			at = api.End(at.Revision)
		}
	}
	if through.After(at) {
		at = through
	}
	f.after = at
	page.Through = Wire(at) // a node that lags behind says less
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
