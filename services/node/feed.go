package node

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Subjects of the internal account, on which the fan-out follows the store.
const (
	subjectFeedPoll   = "feed.poll"   // any node
	subjectFeedLeader = "feed.leader" // the leader, which has applied most
	subjectFeedGrant  = "feed.grant"  // the leader
	queueNodes        = "nodes"
)

// feed answers long polls for committed revisions.
type feed struct {
	ctx     context.Context
	node    string
	recent  *recent
	readers *readers
	slots   chan struct{} // one for each poll that is being answered
	damaged func(error)
}

// serve answers one poll in a goroutine of its own.
func (f *feed) serve(m *nats.Msg) {
	select {
	case f.slots <- struct{}{}:
	default:
		respondError(m, api.Errorf(api.KindOverloaded, "too many feeds are followed on this node"))
		return
	}
	go func() {
		defer func() { <-f.slots }()
		resp, err := f.poll(m)
		if err != nil {
			respondError(m, err)
			if errors.Is(err, store.ErrCorrupt) {
				f.damaged(err)
			}
			return
		}
		resp.Node = f.node
		body, err := proto.Marshal(resp)
		if err != nil {
			respondError(m, err)
			return
		}
		_ = m.Respond(body) // fails only while stopping
	}()
}

func (f *feed) poll(m *nats.Msg) (*kvpb.FeedResponse, error) {
	req := &kvpb.FeedRequest{}
	if err := proto.Unmarshal(m.Data, req); err != nil {
		return nil, api.Errorf(api.KindBadRequest, "the feed request is malformed: %v", err)
	}
	after := api.Position{Revision: req.After.GetRevision(), Sub: req.After.GetSub()}
	maxBytes := pollBytesMax
	if req.MaxBytes > 0 {
		maxBytes = int(min(req.MaxBytes, pollBytesMax))
	}
	wait := min(time.Duration(req.WaitMillis)*time.Millisecond, pollWaitMax)
	if len(req.Key) > 0 || req.PrevKv {
		return f.stored(req, after, maxBytes)
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for compacted := int64(-1); ; {
		resp, inMemory, next := f.recent.page(after, maxBytes)
		if !inMemory {
			return f.stored(req, after, maxBytes)
		}
		if len(resp.Events) > 0 || wait == 0 || compacted >= 0 && resp.Compacted != compacted {
			return resp, nil
		}
		compacted = resp.Compacted
		select {
		case <-next:
		case <-timeout.C:
			wait = 0
		case <-f.ctx.Done():
			return nil, api.Errorf(api.KindUnavailable, "this node is stopping")
		}
	}
}

// stored answers from the change records on disk.
func (f *feed) stored(req *kvpb.FeedRequest, after api.Position, maxBytes int) (*kvpb.FeedResponse, error) {
	p := f.readers.current()
	page, err := p.Events(mvcc.EventQuery{After: after, Key: req.Key, RangeEnd: req.RangeEnd, MaxBytes: maxBytes, PrevKV: req.PrevKv})
	if err != nil {
		return nil, err
	}
	return &kvpb.FeedResponse{
		Events:    page.Events,
		Through:   &kvpb.Position{Revision: page.Through.Revision, Sub: page.Through.Sub},
		Compacted: p.Compacted,
		Revision:  p.Revision,
	}, nil
}

func respondError(m *nats.Msg, err error) {
	e := asError(err)
	_ = m.RespondMsg(&nats.Msg{Header: nats.Header(e.Header()), Data: e.Body()})
}
