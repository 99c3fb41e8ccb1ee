package client

import (
	"context"
	"iter"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Lease is a lease as one answer told it. Its id is written as 16 hex digits
// elsewhere.
type Lease struct {
	ID  int64
	TTL time.Duration
	// Left is what was left of TTL when the server answered; GrantLease does not
	// give it.
	Left time.Duration
	// Keys are its keys in order, from LeaseInfo where they were asked for.
	Keys []string
	// Err is why KeepAlive did not renew this lease: ErrLeaseNotFound where it
	// is over.
	Err error
}

// LeaseOption says how a lease is granted.
type LeaseOption func(*kvpb.LeaseGrantRequest)

// LeaseID grants the lease under an id, ErrLeaseExists if there is one. The
// server chooses one otherwise.
func LeaseID(id int64) LeaseOption { return func(r *kvpb.LeaseGrantRequest) { r.Id = id } }

// GrantLease grants a lease that goes on for ttl, of whole milliseconds, after
// its last renewal. Who holds one for as long as the process lives is better
// served by a Session.
func (c *Client) GrantLease(ctx context.Context, ttl time.Duration, opts ...LeaseOption) (Lease, error) {
	if err := checkMillis("ttl", ttl); err != nil {
		return Lease{}, err
	}
	req := &kvpb.LeaseGrantRequest{TtlMillis: ttl.Milliseconds()}
	for _, o := range opts {
		o(req)
	}
	var resp kvpb.LeaseGrantResponse
	err := c.Call(ctx, api.SubjectLeaseGrant, req, &resp)
	return Lease{ID: resp.GetId(), TTL: millis(resp.GetTtlMillis())}, err
}

// RevokeLease ends a lease: its keys are deleted in one revision, and counted.
func (c *Client) RevokeLease(ctx context.Context, id int64) (deleted int64, err error) {
	var resp kvpb.LeaseRevokeResponse
	err = c.Call(ctx, api.SubjectLeaseRevoke, &kvpb.LeaseRevokeRequest{Id: id}, &resp)
	return resp.GetDeleted(), err
}

// KeepAlive renews leases, up to api.MaxKeepAliveIDs. Each has its own Err in the
// result, which is in the order of ids; err is about all of them.
func (c *Client) KeepAlive(ctx context.Context, ids ...int64) (leases []Lease, err error) {
	var resp kvpb.LeaseKeepAliveResponse
	if err := c.Call(ctx, api.SubjectLeaseKeepAlive, &kvpb.LeaseKeepAliveRequest{Ids: ids}, &resp); err != nil {
		return nil, err
	}
	for _, l := range resp.GetLeases() {
		leases = append(leases, Lease{ID: l.GetId(), TTL: millis(l.GetTtlMillis()), Left: millis(l.GetLeftMillis()), Err: leaseError(l)})
	}
	return leases, nil
}

func leaseError(l *kvpb.LeaseState) error {
	if l.GetError() == "" {
		return nil
	}
	return api.Errorf(api.Kind(l.GetError()), "lease %016x was not renewed", uint64(l.GetId()))
}

// LeaseInfo tells what is left of a lease and, if asked, which keys it has.
func (c *Client) LeaseInfo(ctx context.Context, id int64, keys bool) (Lease, error) {
	var resp kvpb.LeaseInfoResponse
	if err := c.Call(ctx, api.SubjectLeaseInfo, &kvpb.LeaseInfoRequest{Id: id, Keys: keys}, &resp); err != nil {
		return Lease{}, err
	}
	l := Lease{ID: resp.GetId(), TTL: millis(resp.GetTtlMillis()), Left: millis(resp.GetLeftMillis())}
	for _, k := range resp.GetKeys() {
		l.Keys = append(l.Keys, string(k))
	}
	return l, nil
}

// Leases iterates over the ids of all leases, ascending as unsigned numbers. It
// ends after the first error. Pages are read as they are needed: what is granted
// or ends meanwhile may be there or not.
func (c *Client) Leases(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for after := int64(0); ; {
			var page kvpb.LeaseListResponse
			if err := c.Call(ctx, api.SubjectLeaseList, &kvpb.LeaseListRequest{After: after}, &page); err != nil {
				yield(0, err)
				return
			}
			for _, id := range page.GetIds() {
				after = id
				if !yield(id, nil) {
					return
				}
			}
			if !page.GetMore() || len(page.GetIds()) == 0 {
				return
			}
		}
	}
}
