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
	response *kvpb.GrantResponse
	err      error
}

// ask asks for the grant without waiting for the answer.
func (r *replica) ask(ctx context.Context) {
	if r.asking {
		return
	}
	r.asking = true
	sent, patience := r.now(), r.patience
	request := r.grant.Request(sent)
	go func() {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		response, err := feed.AskGrant(limited, r.inner, request)
		r.answers <- grantAnswer{sent, response, err} // has room for the one
	}()
}

// answered takes the outcome of ask; false if nobody answered.
func (r *replica) answered(a grantAnswer) bool {
	r.asking = false
	r.patience = grantTimeout
	if a.err != nil {
		if errors.Is(a.err, context.DeadlineExceeded) {
			r.patience = grantPatience
		}
		return false
	}
	r.grant.Answer(a.sent, a.response)
	r.show()
	return true
}

// begin finds where to follow from: where the holder has published through, or,
// if this replica is granted publishing itself, the end of the store.
func (r *replica) begin(ctx context.Context) (api.Position, error) {
	waiting := false
	for {
		sent := r.now()
		limited, cancel := context.WithTimeout(ctx, grantPatience)
		response, err := feed.AskGrant(limited, r.inner, r.grant.Request(sent))
		if err == nil {
			r.grant.Answer(sent, response)
			if response.Granted {
				start, err := feed.Newest(limited, r.inner)
				if err == nil {
					cancel()
					return start, nil
				}
			}
		}
		cancel()
		if err != nil && !waiting {
			waiting = true
			r.log.Info("waiting for a leader of the store", "error", err)
		}
		select {
		case m := <-r.progress:
			if p, err := api.ParsePosition(m.Header.Get(api.HeaderThrough)); err == nil {
				return p, nil
			}
		case <-time.After(retryAfter):
		case err := <-r.lost:
			return api.Position{}, err
		case <-ctx.Done():
			return api.Position{}, ctx.Err()
		}
	}
}

// follow gives the feed's pages to the loop. Where events are compacted before
// they were received, it goes on from the end of the store.
func (r *replica) follow(ctx context.Context, after api.Position) {
	send := func(p page) error {
		select {
		case r.pages <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		err := feed.Follow(ctx, r.inner, after, r.log, func(p *kvpb.FeedResponse) error { return send(page{FeedResponse: p}) })
		if ctx.Err() != nil {
			return
		}
		if api.KindOf(err) != api.KindCompacted {
			r.fail(err)
			return
		}
		r.log.Warn("events were compacted before they were followed; watchers will be told", "error", err)
		for {
			limited, cancel := context.WithTimeout(ctx, storeTimeout)
			after, err = feed.Newest(limited, r.inner)
			cancel()
			if err == nil {
				break
			}
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
				return
			}
		}
		if send(page{restart: &after}) != nil {
			return
		}
	}
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
	_, held := r.grant.Held(r.now())
	request := r.grant.Release(r.now())
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if _, err := feed.AskGrant(ctx, r.inner, request); err != nil {
		r.log.Info("the grant to publish could not be given up and runs out by itself", "error", err)
	}
}
