package member

import (
	"errors"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// Renew records renewals, in a step of a member that serves as leader. The answer
// may be given after rd, a read of the same leadership, came back with a state
// that Confirm has corrected it by: no later leader can then have begun its time
// before the renewals.
func (m *Member) Renew(ids []int64, now int64, rd replica.Read) *kvpb.LeaseKeepAliveResponse {
	resp := &kvpb.LeaseKeepAliveResponse{Leases: make([]*kvpb.LeaseState, len(ids))}
	for i, id := range ids {
		resp.Leases[i] = m.Leases.renew(id, now)
	}
	m.ReadInTerm(rd)
	return resp
}

// ReadInTerm asks for a quorum round of this member's own leadership.
func (m *Member) ReadInTerm(rd replica.Read) {
	rd.Term = m.role.Term
	m.Replica.Read(rd)
}

func (l *Leases) renew(id, now int64) *kvpb.LeaseState {
	ttl, err := l.clock.Renew(id, now)
	switch {
	case err == nil:
		return &kvpb.LeaseState{Id: id, TtlMillis: ttl, LeftMillis: ttl}
	case errors.Is(err, lease.ErrNotFound):
		return &kvpb.LeaseState{Id: id, Error: string(api.KindLeaseNotFound)}
	}
	// Its expiry is under way, or this node has just begun to lead.
	return &kvpb.LeaseState{Id: id, Error: string(api.KindUnavailable)}
}

// Confirm corrects what the time of leases said of each lease by the state that
// the round confirmed: a lease may have ended since, or be so new that its time
// had not been heard of.
func Confirm(resp *kvpb.LeaseKeepAliveResponse, p *mvcc.Published) error {
	if mutant.Is(mutant.RenewWithoutLook) {
		return nil
	}
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
