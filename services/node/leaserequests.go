package node

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// The lease that a request gets which names none follows from its message id,
// so that a repetition speaks of the same one.
func chooseLease(msgID string) int64 {
	var b [8]byte
	if msgID == "" {
		_, _ = rand.Read(b[:]) // it never fails
	} else {
		sum := sha256.Sum256([]byte("lease of " + msgID))
		copy(b[:], sum[:])
	}
	return max(int64(binary.BigEndian.Uint64(b[:])>>1), 1)
}

func parseLeaseGrant(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.LeaseGrantRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	if req.Id == 0 {
		id, err := h.msgID()
		if err != nil {
			return nil, err
		}
		req.Id = chooseLease(id)
	}
	return writeCall(h, &command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: req}}, f.render)
}

func parseLeaseRevoke(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.LeaseRevokeRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	return writeCall(h, &command.Command{Op: &command.Command_LeaseRevoke{LeaseRevoke: req}}, f.render)
}

// parseLeaseKeepAlive: the renewals are recorded on the consensus goroutine, and
// acknowledged after a quorum round that began after that and ended in the same
// leadership. No later leader can then have begun its time before them.
func parseLeaseKeepAlive(m *nats.Msg) (*call, error) {
	_, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.LeaseKeepAliveRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	switch n := len(req.Ids); {
	case n == 0:
		return nil, api.Errorf(api.KindBadRequest, "no lease is named: give ids")
	case n > api.MaxKeepAliveIDs:
		return nil, api.Errorf(api.KindTooLarge, "%d leases in one request, more than %d", n, api.MaxKeepAliveIDs)
	}
	return &call{lead: func(c *consensus, r *request) {
		resp := &kvpb.LeaseKeepAliveResponse{Leases: make([]*kvpb.LeaseState, len(req.Ids))}
		now := c.clock()
		for i, id := range req.Ids {
			resp.Leases[i] = renew(c.leases.clock, id, now)
		}
		c.readInTerm(r, func(p *mvcc.Published) (answer, error) {
			if err := agree(resp, p); err != nil {
				return answer{}, err
			}
			return f.answer(resp, p.Revision)
		})
	}}, nil
}

// agree corrects what the clock said of each lease by the state that the round
// confirmed: a lease may have ended since, or be so new that the clock had not
// heard of it.
func agree(resp *kvpb.LeaseKeepAliveResponse, p *mvcc.Published) error {
	ids := make([]int64, len(resp.Leases))
	for i, s := range resp.Leases {
		ids[i] = s.Id
	}
	alive, err := p.HasLeases(ids)
	if err != nil {
		return err
	}
	for i, s := range resp.Leases {
		switch {
		case !alive[i]:
			resp.Leases[i] = &kvpb.LeaseState{Id: s.Id, Error: string(api.KindLeaseNotFound)}
		case s.Error == string(api.KindLeaseNotFound):
			s.Error = string(api.KindUnavailable)
		}
	}
	return nil
}

func renew(clock *lease.Clock, id, now int64) *kvpb.LeaseState {
	ttl, err := clock.Renew(id, now)
	switch {
	case err == nil:
		return &kvpb.LeaseState{Id: id, TtlMillis: ttl, LeftMillis: ttl}
	case errors.Is(err, lease.ErrNotFound):
		return &kvpb.LeaseState{Id: id, Error: string(api.KindLeaseNotFound)}
	}
	// Its expiry is under way, or this node has just begun to lead.
	return &kvpb.LeaseState{Id: id, Error: string(api.KindUnavailable)}
}

// parseLeaseInfo: what is left is known to the leader only.
func parseLeaseInfo(m *nats.Msg) (*call, error) {
	_, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.LeaseInfoRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	return &call{lead: func(c *consensus, r *request) {
		_, left, _ := c.leases.clock.Left(req.Id)
		c.readInTerm(r, func(p *mvcc.Published) (answer, error) {
			resp, err := p.Lease(req.Id, req.Keys)
			if err != nil {
				return answer{}, err
			}
			resp.LeftMillis = left
			return f.answer(resp, resp.Revision)
		})
	}}, nil
}

// readInTerm answers after a quorum round of this node's own leadership.
func (c *consensus) readInTerm(r *request, serve func(*mvcc.Published) (answer, error)) {
	rd := &readRequest{request: r, term: c.role.Load().Term, serve: serve}
	c.replica.Read(replica.Read{Deadline: c.clock() + int64(holdTimeout), Tag: rd})
}

func parseLeaseList(m *nats.Msg) (*call, error) {
	_, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.LeaseListRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	if req.Limit < 0 {
		return nil, api.Errorf(api.KindBadRequest, "limit %d is negative", req.Limit)
	}
	return &call{read: func(p *mvcc.Published) (answer, error) {
		resp, err := p.Leases(req.After, req.Limit)
		if err != nil {
			return answer{}, err
		}
		return f.answer(resp, resp.Revision)
	}}, nil
}
