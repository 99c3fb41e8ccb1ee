package watch

import (
	"context"
	"errors"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/feed"
)

// grantAnswer is the outcome of one request for the grant.
type grantAnswer struct {
	sent     fanout.Instant
	response *kvpb.GrantResponse // nil: nobody answered
	err      error
}

// ask asks for the grant without waiting for the answer.
func (r *replica) ask(ctx context.Context) {
	sent := r.now()
	request, patience := r.rules.Ask(sent)
	if request == nil {
		return
	}
	go func() {
		limited, cancel := context.WithTimeout(ctx, time.Duration(patience))
		defer cancel()
		response, err := feed.AskGrant(limited, r.inner, request)
		if err != nil {
			response = nil
		}
		r.answers <- grantAnswer{sent, response, err} // has room for the one
	}()
}

// answered takes the outcome of ask.
func (r *replica) answered(a grantAnswer) {
	if r.rules.Answered(a.sent, a.response, errors.Is(a.err, context.DeadlineExceeded)) && r.feed != nil {
		r.feed.Again()
	}
}

// begin finds where to follow from: where the holder has published through, or,
// if this replica is granted publishing itself, the end of the store.
func (r *replica) begin(ctx context.Context) (api.Position, error) {
	waiting := false
	for {
		r.ask(ctx)
		a := <-r.answers
		r.answered(a)
		if a.err == nil && a.response.Granted {
			limited, cancel := context.WithTimeout(ctx, time.Duration(fanout.GrantPatience))
			start, err := feed.Newest(limited, r.inner)
			cancel()
			if err == nil {
				return start, nil
			}
		}
		if a.err != nil && !waiting {
			waiting = true
			r.log.Info("waiting for a leader of the store", "error", a.err)
		}
		select {
		case m := <-r.progress:
			if p, err := api.ParsePosition(m.Header.Get(api.HeaderThrough)); err == nil {
				return p, nil
			}
		case <-time.After(time.Duration(fanout.RetryAfter)):
		case err := <-r.lost:
			return api.Position{}, err
		case <-ctx.Done():
			return api.Position{}, ctx.Err()
		}
	}
}

// follow gives the feed's pages to the loop. Where events are compacted before
// they were received, it goes on from the end of the store.
func (r *replica) follow(ctx context.Context) {
	send := func(p page) error {
		select {
		case r.pages <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		err := r.feed.Follow(ctx, func(p *kvpb.FeedResponse) error {
			if err := send(page{FeedResponse: p}); err != nil {
				return err
			}
			return r.pace(ctx, p)
		})
		if ctx.Err() != nil {
			return
		}
		if api.KindOf(err) != api.KindCompacted {
			r.fail(err)
			return
		}
		r.log.Warn("events were compacted before they were followed; watchers will be told", "error", err)
		var after api.Position
		for {
			limited, cancel := context.WithTimeout(ctx, storeTimeout)
			after, err = feed.Newest(limited, r.inner)
			cancel()
			if err == nil {
				break
			}
			select {
			case <-time.After(time.Duration(fanout.RetryAfter)):
			case <-ctx.Done():
				return
			}
		}
		r.feed.Restart(after)
		if send(page{restart: &after}) != nil {
			return
		}
	}
}

// pace has a standby wait after a page, so that it gets in one what happens
// meanwhile. It is short of it when it is granted publishing, and gets it then.
func (r *replica) pace(ctx context.Context, p *kvpb.FeedResponse) error {
	if len(p.Events) == 0 || r.holding.Load() {
		return nil
	}
	pause := time.NewTimer(standbyPause)
	defer pause.Stop()
	select {
	case <-r.granted:
	case <-pause.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (r *replica) fail(err error) {
	select {
	case r.lost <- err:
	default:
	}
}

// release stops answering and publishing and gives up the grant.
func (r *replica) release() {
	r.requests.close()
	r.requests.wait(stopWithin)
	_ = r.kv.FlushTimeout(stopWithin) // a broken connection has nothing to flush
	request, held := r.rules.Release(r.now())
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if _, err := feed.AskGrant(ctx, r.inner, request); err != nil {
		r.log.Info("the grant to publish could not be given up and runs out by itself", "error", err)
		return
	}
	_ = r.inner.Publish(subjectReleased, nil)
	_ = r.inner.FlushTimeout(stopWithin) // the others notice by themselves that nobody publishes
}
