package watch

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/feed"
)

// history answers kv.history: from the window, or from the nodes where it does
// not reach back or the states before are asked for.
func (q *requests) history(s *snapshot, req *request) (proto.Message, error) {
	m := new(kvpb.HistoryRequest)
	keys, err := req.decode(m)
	if err != nil {
		return nil, err
	}
	if m.Limit < 0 {
		return nil, api.Errorf(api.KindBadRequest, "limit %d is negative", m.Limit)
	}
	query := fanout.Query{Range: keys, Limit: HistoryEvents, Bytes: req.bytes}
	if m.Limit > 0 {
		query.Limit = int(min(m.Limit, HistoryEvents))
	}
	page := fanout.Page{Through: begin(s.view.Through())}
	if m.Since != nil {
		if query.Since, err = checkSince(m.Since, s.compacted); err != nil {
			return nil, err
		}
		if page, err = q.page(s, query, m.PrevKv); err != nil {
			return nil, err
		}
	}
	return &kvpb.HistoryResponse{
		Events: page.Events, Through: feed.Wire(page.Through), More: page.More,
		Compacted: s.compacted, Epoch: s.epoch(),
	}, nil
}

func checkSince(since *kvpb.Position, compacted int64) (api.Position, error) {
	p := api.Position{Revision: since.Revision, Sub: since.Sub}
	if p.Revision < 0 || p.Sub < 0 || p.After(api.End(p.Revision)) {
		return p, api.Errorf(api.KindBadRequest, "since %v is no position: want REVISION.SUB, both from 0", p)
	}
	if p.Revision+1 < compacted {
		e := api.Errorf(api.KindCompacted, "the events after %v are compacted: list at a revision and watch from there; the compacted revision is %d", p, compacted)
		e.Compacted = compacted
		return p, e
	}
	return p, nil
}

// begin is where a watch that wants no history begins: at the end of a revision,
// the one before if the newest is not all published.
func begin(through api.Position) api.Position {
	if through.After(api.Position{}) && through != api.End(through.Revision) {
		return api.End(through.Revision - 1)
	}
	return through
}

func (q *requests) page(s *snapshot, query fanout.Query, prev bool) (fanout.Page, error) {
	published := s.view.Through()
	if !prev || !published.After(query.Since) {
		if page, ok := s.view.History(query); ok {
			return page, nil
		}
	}
	ctx, cancel := context.WithTimeout(q.ctx, storeTimeout)
	defer cancel()
	request := &kvpb.FeedRequest{
		After: feed.Wire(query.Since), MaxBytes: int64(query.Bytes),
		WaitMillis: storeWait.Milliseconds(), PrevKv: prev,
	}
	if !everything(query.Range) {
		request.Key, request.RangeEnd = query.Range.Key, query.Range.End
	}
	// Any node first; the leader if that one fails or is behind.
	answer, err := feed.Ask(ctx, q.r.inner, feed.SubjectAny, request)
	if api.KindOf(err) == api.KindCompacted {
		return fanout.Page{}, err
	}
	if err != nil || !feed.Position(answer.Through).After(query.Since) {
		if answer, err = feed.Ask(ctx, q.r.inner, feed.SubjectLeader, request); err != nil {
			return fanout.Page{}, err
		}
	}
	if unfiltered := len(request.Key) == 0 && !prev; unfiltered && len(answer.Events) == 0 && answer.Revision >= query.Since.Revision {
		// All of the node's events were looked at, and none is after since.
		answer.Through = feed.Wire(feed.End(answer.Revision))
	}
	return stored(answer, query, published), nil
}

// stored makes a page of a node's answer. The node may be ahead of what is
// published, or behind, which the page says by More.
func stored(answer *kvpb.FeedResponse, query fanout.Query, published api.Position) fanout.Page {
	page := fanout.Page{Through: query.Since}
	for _, e := range answer.Events {
		if !query.Range.Contains(e.GetKv().GetKey()) {
			continue
		}
		if len(page.Events) >= query.Limit {
			page.More = true
			return page
		}
		page.Events = append(page.Events, e)
		page.Through = fanout.Reached(e)
	}
	if through := feed.Position(answer.Through); through.After(page.Through) {
		page.Through = through
	}
	page.More = published.After(page.Through) || begin(page.Through) != page.Through
	return page
}
