package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed/feedstate"
)

// ErrDiscontinuous says that a node's page does not continue the one before.
var ErrDiscontinuous = feedstate.ErrDiscontinuous

// errAgain ends a question whose answer nobody waits for any more.
var errAgain = errors.New("asked again")

// Follower follows committed revisions.
type Follower struct {
	nc    *nats.Conn
	state *feedstate.State
	log   *slog.Logger
	lost  bool // and logged

	mu     sync.Mutex
	giveUp context.CancelCauseFunc // the question under way
}

// NewFollower follows what comes after a position. log, which may be nil, is
// told when the feed is lost and found.
func NewFollower(nc *nats.Conn, after api.Position, log *slog.Logger) *Follower {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Follower{nc: nc, state: feedstate.New(after), log: log, giveUp: func(error) {}}
}

// Again has the leader asked anew, because it is another one, or because the
// answer may be lost with a route: it would take seconds until that shows.
func (f *Follower) Again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.giveUp(errAgain)
}

// Restart goes on from another position: what followed is compacted. Call it
// when Follow has returned.
func (f *Follower) Restart(after api.Position) { f.state.Restart(after) }

// Follow gives every event to handle, page by page, until ctx ends, handle fails
// or the feed cannot be continued: with an *api.Error of api.KindCompacted if
// what follows is compacted, or ErrDiscontinuous. It never returns nil.
//
// A page has through set even if it is empty: every event up to there was given.
// Empty pages come every few seconds. The next page is asked for when handle
// returns.
func (f *Follower) Follow(ctx context.Context, handle func(*kvpb.FeedResponse) error) error {
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

// next asks until a node answers with a page that continues what was given.
func (f *Follower) next(ctx context.Context) (*kvpb.FeedResponse, error) {
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
		case errors.Is(err, errAgain):
			f.state.Again()
			continue
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

func (f *Follower) found() {
	if f.lost {
		f.lost = false
		f.log.Info("the feed of committed revisions is back")
	}
}

func (f *Follower) ask(ctx context.Context, q feedstate.Question) (*kvpb.FeedResponse, error) {
	limited, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	f.mu.Lock()
	f.giveUp = giveUp
	f.mu.Unlock()
	limited, cancel := context.WithTimeout(limited, q.Patience)
	defer cancel()
	subject := SubjectAny
	if q.Leader {
		subject = SubjectLeader
	}
	page, err := Ask(limited, f.nc, subject, q.Request)
	if err != nil && context.Cause(limited) == errAgain {
		err = errAgain
	}
	return page, err
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
