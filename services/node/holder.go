package node

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// holder keeps writes for a leader: an election is a short wait for a client
// and not an error. A write that came from another node is never passed on
// again, and one that may have been proposed is never repeated. It belongs to
// the consensus goroutine.
type holder struct {
	held  []heldWrite
	bytes int
	slots chan struct{} // one for each request that was passed on
	// forward passes a request on to a node over the peer bus.
	forward func(ctx context.Context, to uint64, msg *nats.Msg) (*nats.Msg, error)
	self    uint64
}

type heldWrite struct {
	proposal replica.Proposal
	until    int64
}

func (h *holder) hold(p replica.Proposal, role replica.Role, now int64) {
	req := p.Tag.(*writeRequest)
	switch {
	case role.Leader != 0 && role.Leader != h.self:
		h.pass(p, role.Leader)
	case len(h.held) >= heldMax || h.bytes+len(p.Command) > heldBytesMax:
		req.fail(api.Errorf(api.KindOverloaded, "too many writes are waiting for a leader: try again later"))
	default:
		h.held = append(h.held, heldWrite{p, min(p.Deadline, now+int64(holdTimeout))})
		h.bytes += len(p.Command)
	}
}

// release empties the holder once there is a leader. What it returns is to be
// proposed here; the rest was passed on.
func (h *holder) release(role replica.Role) (proposals []replica.Proposal) {
	if len(h.held) == 0 || !role.Serving && (role.Leader == 0 || role.Leader == h.self) {
		return nil
	}
	for _, w := range h.held {
		if role.Serving {
			proposals = append(proposals, w.proposal)
		} else {
			h.pass(w.proposal, role.Leader)
		}
	}
	h.held, h.bytes = nil, 0
	return proposals
}

// expire refuses what has waited too long.
func (h *holder) expire(now int64) {
	for len(h.held) > 0 && h.held[0].until <= now {
		p := h.held[0].proposal
		h.bytes -= len(p.Command)
		h.held = h.held[1:]
		p.Tag.(*writeRequest).fail(errNoLeader("write"))
	}
}

// pass hands a request to the leader and its answer to the client.
func (h *holder) pass(p replica.Proposal, leader uint64) {
	req := p.Tag.(*writeRequest)
	if req.passed {
		req.fail(errNoLeader("write"))
		return
	}
	select {
	case h.slots <- struct{}{}:
	default:
		req.fail(api.Errorf(api.KindOverloaded, "too many writes were passed on to the leader: try again later"))
		return
	}
	go func() {
		defer func() { <-h.slots }()
		// What it has waited already counts.
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout-time.Since(req.began))
		defer cancel()
		reply, err := h.forward(ctx, leader, req.msg)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			req.fail(errNoLeader("write"))
		case err != nil:
			req.fail(errOutcomeUnknown())
		default:
			req.relay(reply)
		}
	}()
}

// relay answers with another node's answer, errors included.
func (r *request) relay(m *nats.Msg) {
	var err error
	if e := api.ParseError(m.Header, m.Data); e != nil {
		err = e
	}
	r.finish(answer{header: m.Header, body: m.Data}, err)
}
