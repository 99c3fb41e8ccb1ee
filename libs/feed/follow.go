package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed/feedstate"
)

// ErrDiscontinuous says that a node's page does not continue the one before.
var ErrDiscontinuous = feedstate.ErrDiscontinuous

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
	f := follower{nc: nc, state: feedstate.New(after), log: log}
	for {
		page, err := f.next(ctx)
		if err != nil {
			return err
		}
		if err := handle(page); err != nil {
			return err
		}
	}
}

type follower struct {
	nc    *nats.Conn
	state *feedstate.State
	log   *slog.Logger
	lost  bool // and logged
}

// next asks until a node answers with a page that continues what was given.
func (f *follower) next(ctx context.Context) (*kvpb.FeedResponse, error) {
	for {
		q := f.state.Next(rand.Int64N)
		if err := wait(ctx, q.Pause); err != nil {
			return nil, err
		}
		asked := time.Now()
		page, err := f.ask(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case api.KindOf(err) == api.KindCompacted:
			return nil, err
		case err == nil:
			f.found()
			return page, f.state.Take(page, time.Since(asked))
		}
		f.state.Failed(errors.Is(err, context.DeadlineExceeded))
		if f.state.Lost() && !f.lost {
			f.lost = true
			f.log.Warn("the feed of committed revisions is lost; asking on", "error", err)
		}
	}
}

func (f *follower) found() {
	if f.lost {
		f.lost = false
		f.log.Info("the feed of committed revisions is back")
	}
}

func (f *follower) ask(ctx context.Context, q feedstate.Question) (*kvpb.FeedResponse, error) {
	limited, cancel := context.WithTimeout(ctx, q.Patience)
	defer cancel()
	subject := SubjectAny
	if q.Leader {
		subject = SubjectLeader
	}
	return Ask(limited, f.nc, subject, q.Request)
}

// wait waits for a time; none is over at once.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
