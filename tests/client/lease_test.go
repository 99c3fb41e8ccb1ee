package client

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

func TestLeases(t *testing.T) {
	b := newBus(t)
	grants := b.serve("kv.lease.grant", func(_ int, m *nats.Msg) *nats.Msg {
		req := reads(t, m, &kvpb.LeaseGrantRequest{})
		if req.GetId() == 7 {
			return fails(api.KindLeaseExists)
		}
		return answers(&kvpb.LeaseGrantResponse{Id: 9, TtlMillis: req.GetTtlMillis()})
	})
	b.serve("kv.lease.revoke", func(_ int, m *nats.Msg) *nats.Msg {
		if reads(t, m, &kvpb.LeaseRevokeRequest{}).GetId() != 9 {
			return fails(api.KindLeaseNotFound)
		}
		return answers(&kvpb.LeaseRevokeResponse{Deleted: 2})
	})
	b.serve("kv.lease.keepalive", func(n int, m *nats.Msg) *nats.Msg {
		if n == 1 {
			return fails(api.KindNoLeader)
		}
		return answers(&kvpb.LeaseKeepAliveResponse{Leases: []*kvpb.LeaseState{
			{Id: 9, TtlMillis: 5000, LeftMillis: 4200}, {Id: -1, Error: "lease_not_found"}}})
	})
	b.serve("kv.lease.info", func(_ int, m *nats.Msg) *nats.Msg {
		req := reads(t, m, &kvpb.LeaseInfoRequest{})
		return answers(&kvpb.LeaseInfoResponse{Id: req.GetId(), TtlMillis: 5000, LeftMillis: 4200, Keys: [][]byte{[]byte("/a"), []byte("\xff")}})
	})
	b.serve("kv.lease.list", func(_ int, m *nats.Msg) *nats.Msg {
		if after := reads(t, m, &kvpb.LeaseListRequest{}).GetAfter(); after != 0 {
			return answers(&kvpb.LeaseListResponse{Ids: []int64{after + 1, -1}})
		}
		return answers(&kvpb.LeaseListResponse{Ids: []int64{1, 2}, More: true})
	})
	c := b.client()
	if l, err := c.GrantLease(deadline(t), 5*time.Second); err != nil || l.ID != 9 || l.TTL != 5*time.Second {
		t.Fatalf("%+v %v", l, err)
	}
	if grants.all()[0].Header.Get(api.HeaderMsgID) == "" {
		t.Error("a grant has no id")
	}
	if _, err := c.GrantLease(deadline(t), time.Second, client.LeaseID(7)); !errors.Is(err, client.ErrLeaseExists) {
		t.Fatalf("%v", err)
	}
	if _, err := c.GrantLease(deadline(t), time.Second+1); !errors.Is(err, client.ErrBadRequest) {
		t.Fatalf("%v", err)
	}
	if n, err := c.RevokeLease(deadline(t), 9); err != nil || n != 2 {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := c.RevokeLease(deadline(t), 8); !errors.Is(err, client.ErrLeaseNotFound) {
		t.Fatalf("%v", err)
	}
	list, err := c.KeepAlive(deadline(t), 9, -1)
	if err != nil || len(list) != 2 || list[0].Err != nil || list[0].Left != 4200*time.Millisecond || !errors.Is(list[1].Err, client.ErrLeaseNotFound) {
		t.Fatalf("%+v %v", list, err)
	}
	l, err := c.LeaseInfo(deadline(t), 9, true)
	if err != nil || l.Left != 4200*time.Millisecond || !slices.Equal(l.Keys, []string{"/a", "\xff"}) {
		t.Fatalf("%+v %v", l, err)
	}
	var ids []int64
	for id, err := range c.Leases(deadline(t)) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if !slices.Equal(ids, []int64{1, 2, 3, -1}) {
		t.Fatalf("%v", ids)
	}
}

func TestTTL(t *testing.T) {
	f := newFan(t)
	puts := f.b.serve("kv.put.>", func(int, *nats.Msg) *nats.Msg { return &nats.Msg{Header: headers(api.HeaderTTL, "1.5s")} })
	txns := f.b.serve("kv.txn", func(int, *nats.Msg) *nats.Msg { return answers(&kvpb.TxnResponse{Succeeded: true}) })
	c := f.b.client()
	beat := client.WithTTL(1500 * time.Millisecond)
	if res, err := c.Put(deadline(t), "/beat", nil, beat); err != nil || res.KV.TTL != 1500*time.Millisecond {
		t.Fatalf("%+v %v", res, err)
	}
	if got := puts.all()[0].Header.Get(api.HeaderTTL); got != "1.5s" {
		t.Fatalf("Kv-Ttl %q", got)
	}
	if _, err := c.Txn().Then(client.Put("/beat", nil, beat)).If(client.LockHeld("/l", 12)).Commit(deadline(t)); err != nil {
		t.Fatal(err)
	}
	req := reads(t, txns.all()[0], &kvpb.TxnRequest{})
	if req.GetSuccess()[0].GetPut().GetTtlMillis() != 1500 || req.GetCompare()[0].GetTarget() != kvpb.Compare_LOCK || req.GetCompare()[0].GetNumber() != 12 {
		t.Fatalf("%v", req)
	}
	for _, err := range []error{
		func() error { _, err := c.Put(deadline(t), "/beat", nil, client.WithTTL(1)); return err }(),
		func() error {
			_, err := c.Txn().Then(client.Put("/beat", nil, client.WithTTL(1))).Commit(deadline(t))
			return err
		}(),
	} {
		if !errors.Is(err, client.ErrBadRequest) {
			t.Fatalf("%v", err)
		}
	}
	f.commit(false, "/beat")
	w := watch(t, f, client.Prefix("/"))
	f.expire("/beat")
	r, err := w.Next(deadline(t))
	if err != nil || len(r.Events) != 1 || !r.Events[0].Delete || !r.Events[0].Expired || !r.Events[0].Proto().GetExpired() {
		t.Fatalf("%+v %v", r, err)
	}
}
