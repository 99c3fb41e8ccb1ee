package lock

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Lock plans the transaction that joins the queue for a name. r.Lease is set.
func Lock(r *kvpb.LockRequest) *kvpb.TxnRequest {
	key := Key(r.GetName(), r.GetLease())
	put := &kvpb.PutRequest{Key: key, Value: r.GetValue(), Lease: r.GetLease()}
	return &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{created(key, kvpb.Compare_EQUAL, 0)},
		Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Put{Put: put}}},
		Failure: look(key),
	}
}

// Locked reads what Lock's transaction answered: the contender's key and fence.
// Held and Ahead are left to be found out. The error is already_held, with the
// fence as its ModRevision, where the lease contended before.
func Locked(r *kvpb.LockRequest, resp *kvpb.TxnResponse) (*kvpb.LockResponse, error) {
	if !resp.GetSucceeded() {
		e := api.Errorf(api.KindAlreadyHeld,
			"lease %016x already contends for %q, with fence %d: wait on by repeating the first request with its Nats-Msg-Id, or unlock it first",
			uint64(r.GetLease()), r.GetName(), fenceOf(resp))
		e.Revision, e.ModRevision = resp.GetRevision(), fenceOf(resp)
		return nil, e
	}
	return &kvpb.LockResponse{
		Revision: resp.GetRevision(),
		Key:      Key(r.GetName(), r.GetLease()),
		Fence:    resp.GetRevision(), // the key was created by the transaction
		Lease:    r.GetLease(),
	}, nil
}

// Unlock plans the transaction that leaves the queue, as holder or not. It is
// resign as well.
func Unlock(r *kvpb.UnlockRequest) *kvpb.TxnRequest {
	key := Key(r.GetName(), r.GetLease())
	is := kvpb.Compare_EQUAL
	if r.GetFence() == 0 {
		is = kvpb.Compare_GREATER
	}
	del := &kvpb.DeleteRangeRequest{Key: key}
	return &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{created(key, is, r.GetFence())},
		Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: del}}},
		Failure: look(key),
	}
}

// Unlocked reads what Unlock's transaction answered. The error is not_held,
// with the fence that the lease does have as its ModRevision.
func Unlocked(r *kvpb.UnlockRequest, resp *kvpb.TxnResponse) (*kvpb.UnlockResponse, error) {
	if !resp.GetSucceeded() {
		return nil, notHeld(r.GetName(), r.GetLease(), r.GetFence(), resp)
	}
	return &kvpb.UnlockResponse{Revision: resp.GetRevision()}, nil
}

// Proclaim plans the transaction that changes a holder's value.
func Proclaim(r *kvpb.ProclaimRequest) *kvpb.TxnRequest {
	key := Key(r.GetName(), r.GetLease())
	put := &kvpb.PutRequest{Key: key, Value: r.GetValue(), IgnoreLease: true}
	return &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{created(key, kvpb.Compare_EQUAL, r.GetFence()), Held(r.GetName(), r.GetFence())},
		Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Put{Put: put}}},
		Failure: look(key),
	}
}

// Proclaimed reads what Proclaim's transaction answered; errors as of Unlocked.
func Proclaimed(r *kvpb.ProclaimRequest, resp *kvpb.TxnResponse) (*kvpb.ProclaimResponse, error) {
	if !resp.GetSucceeded() {
		return nil, notHeld(r.GetName(), r.GetLease(), r.GetFence(), resp)
	}
	return &kvpb.ProclaimResponse{Revision: resp.GetRevision()}, nil
}

// ErrGone is the error of a waiter whose contender left the queue. leaseGone:
// because its lease ended.
func ErrGone(w Waiter, leaseGone bool) error {
	if leaseGone {
		return api.Errorf(api.KindLeaseNotFound, "lease %016x ended, and with it its place in the queue for %q", uint64(w.Lease), w.Name)
	}
	return api.Errorf(api.KindNotHeld, "lease %016x gave up its place in the queue for %q", uint64(w.Lease), w.Name)
}

// ErrMoved is the error of everybody who waits on a node that leads no longer.
func ErrMoved() error {
	return api.Errorf(api.KindUnavailable, "the leadership moved while the request waited: ask again with the same Nats-Msg-Id to wait on in the same place")
}

func created(key []byte, is kvpb.Compare_Result, revision int64) *kvpb.Compare {
	return &kvpb.Compare{Result: is, Target: kvpb.Compare_CREATE, Key: key, Number: revision}
}

// look reads the contender, for the error's sake.
func look(key []byte) []*kvpb.RequestOp {
	return []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Range{Range: &kvpb.RangeRequest{Key: key, KeysOnly: true}}}}
}

// fenceOf is the fence that look found, 0 for none.
func fenceOf(resp *kvpb.TxnResponse) int64 {
	for _, r := range resp.GetResponses() {
		for _, kv := range r.GetRange().GetKvs() {
			return kv.GetCreateRevision()
		}
	}
	return 0
}

func notHeld(name []byte, lease, fence int64, resp *kvpb.TxnResponse) error {
	found := fenceOf(resp)
	why := fmt.Sprintf("contends for %q with fence %d, not %d", name, found, fence)
	switch found {
	case 0:
		why = fmt.Sprintf("does not contend for %q", name)
	case fence:
		why = fmt.Sprintf("waits for %q and does not hold it", name)
	}
	e := api.Errorf(api.KindNotHeld, "lease %016x %s", uint64(lease), why)
	e.Revision, e.ModRevision = resp.GetRevision(), found
	return e
}
