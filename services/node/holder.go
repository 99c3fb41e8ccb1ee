package node

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// holder keeps requests for a leader: an election is a short wait for a client
// and not an error. A request that came from another node is never passed on
// again, and one that may have been proposed is never repeated. It belongs to
// the consensus goroutine.
type holder struct {
	held  []heldRequest
	bytes int
	slots chan struct{} // one for each request that was passed on
	// waits are the slots of requests that may wait for long at the leader. They
	// are answered when there is another leader, or none: moved.
	waits  chan struct{}
	leader uint64
	moved  context.Context
	move   context.CancelFunc
	// forward passes a request on to a node over the peer bus.
	forward func(ctx context.Context, to uint64, msg *nats.Msg) (*nats.Msg, error)
	self    uint64
}

// heldRequest is a request that only a leader can take.
type heldRequest struct {
	*request
	// take has this node, which serves now, take the request.
	take  func()
	bytes int
	until int64
}

func newHolder(self uint64, forward func(context.Context, uint64, *nats.Msg) (*nats.Msg, error)) *holder {
	h := &holder{self: self, slots: make(chan struct{}, passingMax), waits: make(chan struct{}, waitsPassingMax), forward: forward}
	h.moved, h.move = context.WithCancel(context.Background())
	return h
}

func (h *holder) hold(r heldRequest, role replica.Role, now int64) {
	switch {
	case role.Leader != 0 && role.Leader != h.self:
		h.pass(r.request, role.Leader, now)
	case len(h.held) >= heldMax || h.bytes+r.bytes > heldBytesMax:
		r.fail(api.Errorf(api.KindOverloaded, "too many requests are waiting for a leader: try again later"))
	default:
		r.until = min(r.deadline, now+int64(holdTimeout))
		h.held = append(h.held, r)
		h.bytes += r.bytes
	}
}

// release empties the holder once there is a leader: this node takes the
// requests, or they are passed on.
func (h *holder) release(role replica.Role, now int64) {
	if role.Leader != h.leader {
		h.leader = role.Leader
		h.move()
		h.moved, h.move = context.WithCancel(context.Background())
	}
	if len(h.held) == 0 || !role.Serving && (role.Leader == 0 || role.Leader == h.self) {
		return
	}
	held := h.held
	h.held, h.bytes = nil, 0
	for _, r := range held {
		if role.Serving {
			r.take()
		} else {
			h.pass(r.request, role.Leader, now)
		}
	}
}

// expire refuses what has waited too long.
func (h *holder) expire(now int64) {
	for len(h.held) > 0 && h.held[0].until <= now {
		r := h.held[0]
		h.bytes -= r.bytes
		h.held = h.held[1:]
		r.fail(errNoLeader("request"))
	}
}

// pass hands a request to the leader and its answer to the client.
func (h *holder) pass(req *request, leader uint64, now int64) {
	if req.passed {
		req.fail(errNoLeader("request"))
		return
	}
	slots, moved := h.slots, context.Background()
	timeout := time.Duration(req.deadline - now)
	if timeout > requestTimeout {
		slots, moved = h.waits, h.moved
	}
	select {
	case slots <- struct{}{}:
	default:
		req.fail(api.Errorf(api.KindOverloaded, "too many requests were passed on to the leader: try again later"))
		return
	}
	go func() {
		defer func() { <-slots }()
		ctx, cancel := context.WithTimeout(moved, timeout)
		defer cancel()
		reply, err := h.forward(ctx, leader, req.msg)
		switch {
		case err != nil && moved.Err() != nil:
			req.fail(lock.ErrMoved())
		case errors.Is(err, nats.ErrNoResponders):
			req.fail(errNoLeader("request"))
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
