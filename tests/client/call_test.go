package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

var deepKey = "/deep" + strings.Repeat("/x", 30)

func TestGet(t *testing.T) {
	b := newBus(t)
	calls := b.serve("kv.get.>", func(_ int, m *nats.Msg) *nats.Msg {
		if strings.HasSuffix(m.Subject, "missing") {
			return fails(api.KindNotFound)
		}
		return &nats.Msg{Data: []byte("v"), Header: headers(api.HeaderRevision, 9, api.HeaderCreateRevision, 2,
			api.HeaderModRevision, 4, api.HeaderVersion, 3, api.HeaderLease, "00000000000f7f3a")}
	})
	c := b.client()
	kv, err := c.Get(deadline(t), "/db/a b", client.AtRevision(8), client.MinRevision(5))
	if err != nil || kv.Key != "/db/a b" || string(kv.Value) != "v" || kv.CreateRevision != 2 || kv.ModRevision != 4 || kv.Version != 3 || kv.Lease != 0xf7f3a {
		t.Fatalf("%+v %v", kv, err)
	}
	m := calls.all()[0]
	if m.Subject != "kv.get.db.a%20b" || m.Header.Get("Kv-Revision") != "8" || m.Header.Get("Kv-Min-Revision") != "5" ||
		m.Header.Get("Kv-Consistency") != "serializable" || m.Header.Get("Nats-Msg-Id") != "" {
		t.Fatalf("%s %v", m.Subject, m.Header)
	}
	if _, err := c.Get(deadline(t), "/missing"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("%v", err)
	}
	if _, err := c.Get(deadline(t), ""); !errors.Is(err, client.ErrBadKey) {
		t.Fatalf("%v", err)
	}
}

func TestDeepKey(t *testing.T) {
	b := newBus(t)
	b.serve("kv.range", func(n int, m *nats.Msg) *nats.Msg {
		if req := reads(t, m, &kvpb.RangeRequest{}); string(req.GetKey()) != deepKey {
			t.Errorf("range of %q", req.GetKey())
		}
		if n == 1 {
			return answers(&kvpb.RangeResponse{Kvs: []*kvpb.KeyValue{{Key: []byte(deepKey), Value: []byte("v")}}})
		}
		return answers(&kvpb.RangeResponse{})
	})
	txns := b.serve("kv.txn", func(_ int, m *nats.Msg) *nats.Msg {
		if len(reads(t, m, &kvpb.TxnRequest{}).GetCompare()) > 0 {
			return answers(&kvpb.TxnResponse{Revision: 5, Responses: []*kvpb.ResponseOp{{Response: &kvpb.ResponseOp_Range{
				Range: &kvpb.RangeResponse{Kvs: []*kvpb.KeyValue{{Key: []byte(deepKey), ModRevision: 4}}}}}}})
		}
		return answers(&kvpb.TxnResponse{Revision: 5, Succeeded: true, Responses: []*kvpb.ResponseOp{{Response: &kvpb.ResponseOp_Put{
			Put: &kvpb.PutResponse{PrevKv: &kvpb.KeyValue{Key: []byte(deepKey), Value: []byte("old")}}}}}})
	})
	c := b.client()
	if kv, err := c.Get(deadline(t), deepKey); err != nil || string(kv.Value) != "v" {
		t.Fatalf("%+v %v", kv, err)
	}
	if _, err := c.Get(deadline(t), deepKey); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("%v", err)
	}
	res, err := c.Put(deadline(t), deepKey, []byte("new"), client.WithPrev())
	if err != nil || res.Revision != 5 || string(res.Prev.Value) != "old" {
		t.Fatalf("%+v %v", res, err)
	}
	_, err = c.Put(deadline(t), deepKey, []byte("new"), client.IfRevision(3), client.MsgID("mine"))
	var e *api.Error
	if !errors.As(err, &e) || e.Kind != api.KindCompareFailed || e.ModRevision != 4 || e.Revision != 5 {
		t.Fatalf("%+v", err)
	}
	for i, m := range txns.all() {
		if id := m.Header.Get(api.HeaderMsgID); id == "" || i == 1 && id != "mine" {
			t.Errorf("transaction %d has the id %q", i, id)
		}
	}
}

func TestDelete(t *testing.T) {
	b := newBus(t)
	b.serve("kv.delete.a", func(int, *nats.Msg) *nats.Msg {
		return &nats.Msg{Header: headers(api.HeaderRevision, 9, api.HeaderDeleted, 1)}
	})
	b.serve("kv.delete-range", func(_ int, m *nats.Msg) *nats.Msg {
		req := reads(t, m, &kvpb.DeleteRangeRequest{})
		if string(req.GetKey()) != "/a/" || string(req.GetRangeEnd()) != "/a0" || m.Header.Get(api.HeaderMsgID) == "" {
			t.Errorf("%v %v", req, m.Header)
		}
		return answers(&kvpb.DeleteRangeResponse{Revision: 10, Deleted: 3})
	})
	c := b.client()
	if res, err := c.Delete(deadline(t), "/a"); err != nil || res.Revision != 9 || res.Deleted != 1 {
		t.Fatalf("%+v %v", res, err)
	}
	if res, err := c.DeleteRange(deadline(t), client.Prefix("/a/")); err != nil || res.Revision != 10 || res.Deleted != 3 {
		t.Fatalf("%+v %v", res, err)
	}
	if _, err := c.DeleteRange(deadline(t), client.Prefix("/a/"), client.IfRevision(1)); !errors.Is(err, client.ErrBadRequest) {
		t.Fatalf("%v", err)
	}
}

// TestListIsOneRevision: later pages are as of the first one's revision.
func TestListIsOneRevision(t *testing.T) {
	b := newBus(t)
	pages := []*kvpb.RangeResponse{
		{Revision: 10, More: true, Kvs: []*kvpb.KeyValue{{Key: []byte("/a/1")}, {Key: []byte("/a/2")}}},
		{Revision: 12, Kvs: []*kvpb.KeyValue{{Key: []byte("/a/3")}}},
	}
	var requests []*kvpb.RangeRequest
	b.serve("kv.range", func(n int, m *nats.Msg) *nats.Msg {
		requests = append(requests, reads(t, m, &kvpb.RangeRequest{}))
		return answers(pages[n-1])
	})
	var keys []string
	for kv, err := range b.client().List(deadline(t), client.Prefix("/a/"), client.Limit(2)) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, kv.Key)
	}
	if strings.Join(keys, " ") != "/a/1 /a/2 /a/3" {
		t.Fatalf("%v", keys)
	}
	second := requests[1]
	if string(second.GetKey()) != "/a/2\x00" || string(second.GetRangeEnd()) != "/a0" || second.GetRevision() != 10 || second.GetLimit() != 2 {
		t.Fatalf("second page: %v", second)
	}
	for _, err := range b.client().List(deadline(t), client.All(), client.CountOnly()) {
		if !errors.Is(err, client.ErrBadRequest) {
			t.Fatalf("%v", err)
		}
	}
}

func TestTxn(t *testing.T) {
	b := newBus(t)
	want := `
compare { target: CREATE key: "/leader" }
compare { result: GREATER target: VALUE key: "/m/" range_end: "/m0" value: "x" }
success { put { key: "/leader" value: "me" prev_kv: true } }
success { txn {
  compare { result: NOT_EQUAL target: LEASE key: "/l" number: 5 }
  failure { delete_range { key: "/d/" range_end: "/d0" } }
} }
failure { range { key: "/leader" } }`
	var expected kvpb.TxnRequest
	if err := prototext.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	b.serve("kv.txn", func(_ int, m *nats.Msg) *nats.Msg {
		if got := reads(t, m, &kvpb.TxnRequest{}); !proto.Equal(got, &expected) {
			t.Errorf("got %v\nwant %v", got, &expected)
		}
		return answers(&kvpb.TxnResponse{Revision: 3, Succeeded: true, Responses: []*kvpb.ResponseOp{
			{Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{}}},
			{Response: &kvpb.ResponseOp_Txn{Txn: &kvpb.TxnResponse{Responses: []*kvpb.ResponseOp{
				{Response: &kvpb.ResponseOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeResponse{Deleted: 2}}}}}}},
		}})
	})
	c := b.client()
	inner := c.Txn().If(client.LeaseOf("/l").NotEqual(5)).Else(client.DeleteRange(client.Prefix("/d/")))
	res, err := c.Txn().
		If(client.CreateRevision("/leader").Equal(0), client.Value("/m/").Every().Greater([]byte("x"))).
		Then(client.Put("/leader", []byte("me"), client.WithPrev()), inner.Op()).
		Else(client.Get("/leader")).
		Commit(deadline(t))
	if err != nil || !res.Succeeded || res.Revision != 3 || res.Results[0].Put == nil || res.Results[1].Txn.Results[0].Delete.Deleted != 2 {
		t.Fatalf("%+v %v", res, err)
	}
	if _, err := c.Txn().Then(client.Put("/a", nil, client.IfRevision(1))).Commit(deadline(t)); !errors.Is(err, client.ErrBadRequest) {
		t.Fatalf("%v", err)
	}
	if _, err := c.Txn().Then(client.Get("")).Commit(deadline(t)); !errors.Is(err, client.ErrBadKey) {
		t.Fatalf("%v", err)
	}
}

// TestOnlyWritesHaveAnID: an id makes a request one for the log.
func TestOnlyWritesHaveAnID(t *testing.T) {
	b := newBus(t)
	calls := b.serve("kv.txn", func(int, *nats.Msg) *nats.Msg { return answers(&kvpb.TxnResponse{Succeeded: true}) })
	c := b.client()
	for _, txn := range []*client.Txn{
		c.Txn().Then(client.Get("/a")),
		c.Txn().Else(c.Txn().Then(client.Delete("/a")).Op()),
	} {
		if _, err := txn.Commit(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	list := calls.all()
	if list[0].Header.Get(api.HeaderMsgID) != "" || list[1].Header.Get(api.HeaderMsgID) == "" {
		t.Fatalf("%v %v", list[0].Header, list[1].Header)
	}
}

func TestStatus(t *testing.T) {
	b := newBus(t)
	members := []*kvpb.Member{{Name: "node-1"}, {Name: "node-2"}}
	for _, subject := range []string{"kv.admin.status", "kv.admin.status.node-2"} {
		b.serve(subject, func(int, *nats.Msg) *nats.Msg {
			return answers(&kvpb.StatusResponse{Node: "node-2", Members: members, Ready: true})
		})
	}
	list, err := b.client().StatusAll(deadline(t))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v %v", list, err)
	}
	if list[0].Err == nil || list[0].Member.GetName() != "node-1" || list[1].Err != nil || !list[1].Status.GetReady() {
		t.Fatalf("%+v", list)
	}
	if _, err := b.client().StatusOf(deadline(t), "a.b"); !errors.Is(err, client.ErrBadRequest) {
		t.Fatalf("%v", err)
	}
}
