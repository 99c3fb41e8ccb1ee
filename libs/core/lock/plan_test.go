package lock_test

import (
	"bytes"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// store is a real state machine with the leases 1, 2 and 3.
type store struct {
	t     *testing.T
	m     *mvcc.Machine
	index uint64
}

var job = []byte("/locks/job")

func open(t *testing.T) *store {
	m, err := mvcc.Open(memstore.New(nil).State(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, m: m}
	for id := range int64(3) {
		s.apply(&command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: id + 1, TtlMillis: 5000}}})
	}
	return s
}

func (s *store) apply(c *command.Command) mvcc.Result {
	s.t.Helper()
	if err := mvcc.Check(c); err != nil {
		s.t.Fatal(err)
	}
	s.index++
	applied, err := s.m.Apply([]mvcc.Entry{{Index: s.index, Term: 1, Commands: []*command.Command{c}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return applied.Results[0][0]
}

func (s *store) txn(r *kvpb.TxnRequest) *kvpb.TxnResponse {
	s.t.Helper()
	res := s.apply(&command.Command{Op: &command.Command_Txn{Txn: r}})
	if res.Err != nil {
		s.t.Fatal(res.Err)
	}
	return res.Response.(*kvpb.TxnResponse)
}

func (s *store) lock(lease int64) *kvpb.LockResponse {
	s.t.Helper()
	r := &kvpb.LockRequest{Name: job, Lease: lease, Value: []byte("v")}
	resp, err := lock.Locked(r, s.txn(lock.Lock(r)))
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

func (s *store) holder() *kvpb.KeyValue {
	s.t.Helper()
	kvs, err := s.m.Published().Contenders(job, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}

// guarded says whether a write with a fence is let through.
func (s *store) guarded(fence int64) bool {
	s.t.Helper()
	put := &kvpb.PutRequest{Key: []byte("/data")}
	return s.txn(&kvpb.TxnRequest{
		Compare: []*kvpb.Compare{lock.Held(job, fence)},
		Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Put{Put: put}}},
	}).Succeeded
}

// wantError checks the kind of an error and the fence that it names, and that
// the revision did not move.
func (s *store) wantError(err error, kind api.Kind, fence, revision int64) {
	s.t.Helper()
	var e *api.Error
	if api.KindOf(err) != kind {
		s.t.Fatalf("%v, want %s", err, kind)
	}
	e = err.(*api.Error)
	if e.ModRevision != fence || e.Revision != revision || s.m.Published().Revision != revision {
		s.t.Errorf("%+v at revision %d, want fence %d and revision %d", e, s.m.Published().Revision, fence, revision)
	}
}

func TestLockAndUnlock(t *testing.T) {
	s := open(t)
	if !s.guarded(0) || s.guarded(1) {
		t.Error("a lock that nobody holds")
	}
	a, b := s.lock(1), s.lock(2)
	if a.Fence != a.Revision || b.Fence != a.Fence+1 || !bytes.Equal(b.Key, lock.Key(job, 2)) || b.Lease != 2 || b.Held {
		t.Fatalf("%v, %v", a, b)
	}
	if h := s.holder(); h.CreateRevision != a.Fence || h.Lease != 1 || string(h.Value) != "v" {
		t.Errorf("held by %v", h)
	}
	if s.guarded(0) || !s.guarded(a.Fence) || s.guarded(b.Fence) {
		t.Error("the wrong fence is let through")
	}
	revision := s.m.Published().Revision

	again := &kvpb.LockRequest{Name: job, Lease: 2}
	_, err := lock.Locked(again, s.txn(lock.Lock(again)))
	s.wantError(err, api.KindAlreadyHeld, b.Fence, revision)
	dead := s.apply(&command.Command{Op: &command.Command_Txn{Txn: lock.Lock(&kvpb.LockRequest{Name: job, Lease: 9})}})
	if dead.Err == nil || dead.Err.Kind != api.KindLeaseNotFound {
		t.Errorf("a lock by a dead lease: %v", dead.Err)
	}
	for _, c := range []struct{ lease, fence, has int64 }{
		{3, 0, 0}, {3, a.Fence, 0}, {1, b.Fence, a.Fence}, {2, a.Fence, b.Fence},
	} {
		r := &kvpb.UnlockRequest{Name: job, Lease: c.lease, Fence: c.fence}
		_, err := lock.Unlocked(r, s.txn(lock.Unlock(r)))
		s.wantError(err, api.KindNotHeld, c.has, revision)
	}

	for i, r := range []*kvpb.UnlockRequest{{Name: job, Lease: 1, Fence: a.Fence}, {Name: job, Lease: 2}} {
		resp, err := lock.Unlocked(r, s.txn(lock.Unlock(r)))
		if err != nil || resp.Revision != revision+1+int64(i) {
			t.Fatalf("unlock %d: %v, %v", i, resp, err)
		}
		if want := []int64{2, 0}[i]; s.holder().GetLease() != want {
			t.Errorf("after unlock %d %v holds it", i, s.holder())
		}
	}
	if s.guarded(a.Fence) || s.guarded(b.Fence) {
		t.Error("an old fence is let through")
	}
	if c := s.lock(1); c.Fence <= b.Fence || !s.guarded(c.Fence) {
		t.Errorf("locked again: %v", c)
	}
}

func TestProclaim(t *testing.T) {
	s := open(t)
	a, b := s.lock(1), s.lock(2)
	r := &kvpb.ProclaimRequest{Name: job, Lease: 1, Fence: a.Fence, Value: []byte("w")}
	resp, err := lock.Proclaimed(r, s.txn(lock.Proclaim(r)))
	if err != nil || resp.Revision != b.Fence+1 {
		t.Fatal(resp, err)
	}
	if h := s.holder(); string(h.Value) != "w" || h.Lease != 1 || h.CreateRevision != a.Fence || h.ModRevision != resp.Revision {
		t.Errorf("held by %v", h)
	}
	for _, c := range []struct{ lease, fence, has int64 }{{2, b.Fence, b.Fence}, {3, b.Fence, 0}, {1, b.Fence, a.Fence}} {
		r := &kvpb.ProclaimRequest{Name: job, Lease: c.lease, Fence: c.fence, Value: []byte("x")}
		_, err := lock.Proclaimed(r, s.txn(lock.Proclaim(r)))
		s.wantError(err, api.KindNotHeld, c.has, resp.Revision)
	}
}

// The end of a lease hands its locks on.
func TestLeaseEnds(t *testing.T) {
	s := open(t)
	a, b := s.lock(1), s.lock(2)
	s.apply(&command.Command{Op: &command.Command_LeaseRevoke{LeaseRevoke: &kvpb.LeaseRevokeRequest{Id: 1}}})
	if h := s.holder(); h.GetLease() != 2 || s.guarded(a.Fence) || !s.guarded(b.Fence) {
		t.Errorf("held by %v", h)
	}
	w := lock.Waiter{Name: job, Lease: 1, Fence: a.Fence}
	if api.KindOf(lock.ErrGone(w, true)) != api.KindLeaseNotFound || api.KindOf(lock.ErrGone(w, false)) != api.KindNotHeld {
		t.Error("the errors of a waiter that is gone")
	}
	if e := lock.ErrMoved(); !api.KindOf(e).Retryable() || api.KindOf(e).Unknown() {
		t.Errorf("%v cannot be repeated", e)
	}
}
