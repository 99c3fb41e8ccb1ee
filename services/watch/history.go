package watch

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/feed"
)

// history answers kv.history: from the window, or from the nodes.
func (q *requests) history(s *fanout.Snapshot, req *request) (proto.Message, error) {
	m := new(kvpb.HistoryRequest)
	keys, err := req.decode(m)
	if err != nil {
		return nil, err
	}
	answer, question, err := s.History(m, keys, req.bytes)
	if err != nil || question == nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(q.ctx, storeTimeout)
	defer cancel()
	page, err := feed.Ask(ctx, q.r.inner, feed.SubjectAny, question.Request)
	if api.KindOf(err) == api.KindCompacted {
		return nil, err
	}
	if err != nil || question.Behind(page) {
		if page, err = feed.Ask(ctx, q.r.inner, feed.SubjectLeader, question.Request); err != nil {
			return nil, err
		}
	}
	return question.Answer(page)
}

func (q *requests) sync(s *fanout.Snapshot, req *request) (proto.Message, error) {
	keys, err := req.decode(new(kvpb.SyncRequest))
	if err != nil {
		return nil, err
	}
	return s.Sync(keys), nil
}
