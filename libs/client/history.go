package client

import (
	"context"
	"iter"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// HistoryOption says what History gives.
type HistoryOption func(*kvpb.HistoryRequest)

// PrevValues gives the state before each event, where it is not compacted.
func PrevValues() HistoryOption { return func(r *kvpb.HistoryRequest) { r.PrevKv = true } }

// PageLimit fetches at most n events at a time.
func PageLimit(n int64) HistoryOption { return func(r *kvpb.HistoryRequest) { r.Limit = n } }

// History iterates over the changes of a span from a revision on, that one
// included, up to now, in order. It ends after the first error; ErrCompacted if
// the revision is below the compacted one.
func (c *Client) History(ctx context.Context, s Span, from int64, opts ...HistoryOption) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		since := api.End(max(from, 1) - 1)
		for pause := newBackoff(); ; {
			page, err := c.history(ctx, s, &since, opts)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page.GetEvents() {
				if !yield(eventOf(e), nil) {
					return
				}
			}
			if !page.GetMore() {
				return
			}
			if through := positionOf(page.GetThrough()); through.After(since) {
				since, pause = through, newBackoff()
			} else if !pause.sleep(ctx, busyPause) { // what is more is not at hand yet
				yield(Event{}, ctx.Err())
				return
			}
		}
	}
}

// history asks for one page. since is nil for the position of now.
func (c *Client) history(ctx context.Context, s Span, since *api.Position, opts []HistoryOption) (*kvpb.HistoryResponse, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	req := &kvpb.HistoryRequest{}
	for _, o := range opts {
		o(req)
	}
	req.Key, req.RangeEnd = s.key, s.end
	if since != nil {
		req.Since = &kvpb.Position{Revision: since.Revision, Sub: since.Sub}
	}
	var resp kvpb.HistoryResponse
	if err := c.Call(ctx, api.SubjectHistory, req, &resp); err != nil {
		return nil, err
	}
	return &resp, nil
}

// SyncResult is where the history of a span stands.
type SyncResult struct {
	Last      api.Position // of the span's last event, or a later bound
	Published api.Position // events are published through here
	Compacted int64
	Epoch     api.Epoch
}

// Sync asks the watch fan-out where it stands.
func (c *Client) Sync(ctx context.Context, s Span) (*SyncResult, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var resp kvpb.SyncResponse
	if err := c.Call(ctx, api.SubjectSync, &kvpb.SyncRequest{Key: s.key, RangeEnd: s.end}, &resp); err != nil {
		return nil, err
	}
	return &SyncResult{
		Last: positionOf(resp.GetLast()), Published: positionOf(resp.GetPublished()),
		Compacted: resp.GetCompacted(), Epoch: epochOf(resp.GetEpoch()),
	}, nil
}

func positionOf(p *kvpb.Position) api.Position {
	return api.Position{Revision: p.GetRevision(), Sub: p.GetSub()}
}

func epochOf(e *kvpb.Epoch) api.Epoch { return api.Epoch{Term: e.GetTerm(), N: e.GetN()} }
