package node

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	events "github.com/kvorum/kvorum/libs/core/recent"
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
	p := events.NewPoll(req)
	timeout := time.NewTimer(time.Duration(p.WaitMillis) * time.Millisecond)
	defer timeout.Stop()
	for timeUp := p.WaitMillis == 0; ; {
		answer, next, changed := f.recent.look(p, timeUp)
		switch next {
		case events.Send:
			return answer, nil
		case events.Read:
			return p.Stored(f.readers.current())
		}
		select {
		case <-changed:
		case <-timeout.C:
			timeUp = true
		case <-f.ctx.Done():
			return nil, api.Errorf(api.KindUnavailable, "this node is stopping")
		}
	}
}

func respondError(m *nats.Msg, err error) {
	e := asError(err)
	_ = m.RespondMsg(&nats.Msg{Header: nats.Header(e.Header()), Data: e.Body()})
}
