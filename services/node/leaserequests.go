package node

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/member"
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

// parseLeaseKeepAlive: see member.Renew.
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
		var resp *kvpb.LeaseKeepAliveResponse
		rd := c.read(r, func(p *mvcc.Published) (answer, error) {
			if err := member.Confirm(resp, p); err != nil {
				return answer{}, err
			}
			return f.answer(resp, p.Revision)
		})
		resp = c.member.Renew(req.Ids, c.clock(), rd)
	}}, nil
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
		_, left, _ := c.member.Leases.Left(req.Id)
		c.member.ReadInTerm(c.read(r, func(p *mvcc.Published) (answer, error) {
			resp, err := p.Lease(req.Id, req.Keys)
			if err != nil {
				return answer{}, err
			}
			resp.LeftMillis = left
			return f.answer(resp, resp.Revision)
		}))
	}}, nil
}

// read is a read that answers a request of the leader's.
func (c *consensus) read(r *request, serve func(*mvcc.Published) (answer, error)) replica.Read {
	return replica.Read{Deadline: c.clock() + int64(holdTimeout), Tag: &readRequest{request: r, serve: serve}}
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
