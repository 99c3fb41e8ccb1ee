package client

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func TestBackoffGrowsToItsLimit(t *testing.T) {
	b := newBackoff()
	for i := range 20 {
		grown := min(firstPause<<i, busyPause)
		if grown <= 0 {
			grown = busyPause
		}
		limit := min(grown, noLeaderPause)
		if d := b.duration(noLeaderPause); d < limit/2 || d > limit {
			t.Fatalf("pause %d: %v, want %v to %v", i, d, limit/2, limit)
		}
	}
	if d := b.duration(busyPause); d < busyPause/2 || d > busyPause {
		t.Fatalf("%v", d)
	}
}

func TestSpanCheck(t *testing.T) {
	for _, s := range []Span{Key("/a"), Prefix(""), Prefix("\xff"), All(), Interval("", ""), Interval("a", "b"), Interval("b", "")} {
		if err := s.check(); err != nil {
			t.Errorf("[%q, %q): %v", s.key, s.end, err)
		}
	}
	long := string(make([]byte, api.MaxKeyBytes+1))
	for want, list := range map[api.Kind][]Span{
		api.KindBadKey:     {Key(""), Key(long), Prefix(long)},
		api.KindBadRequest: {Interval("b", "a"), Interval("a", "a")},
	} {
		for _, s := range list {
			if err := s.check(); api.KindOf(err) != want {
				t.Errorf("[%.9q, %.9q): %v, want %s", s.key, s.end, err, want)
			}
		}
	}
}

func TestReplyHeaders(t *testing.T) {
	r := reply{header: nats.Header{api.HeaderVersion: {"3"}, api.HeaderLease: {"ffffffffffffffff"}, api.HeaderModRevision: {"x"}}}
	if kv := r.keyValue("k", nil); kv.Version != 3 || kv.Lease != -1 || kv.CreateRevision != 0 {
		t.Errorf("%+v", kv)
	}
	if api.KindOf(r.err) != api.KindInternal {
		t.Errorf("%v", r.err)
	}
}

func TestWrites(t *testing.T) {
	put := &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{}}}
	get := &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: &kvpb.RangeRequest{}}}
	nested := func(op *kvpb.RequestOp) *kvpb.RequestOp {
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: &kvpb.TxnRequest{Failure: []*kvpb.RequestOp{op}}}}
	}
	for name, c := range map[string]struct {
		txn  *kvpb.TxnRequest
		want bool
	}{
		"nothing":      {&kvpb.TxnRequest{}, false},
		"read":         {&kvpb.TxnRequest{Success: []*kvpb.RequestOp{get, nested(get)}}, false},
		"write":        {&kvpb.TxnRequest{Failure: []*kvpb.RequestOp{get, put}}, true},
		"nested write": {&kvpb.TxnRequest{Success: []*kvpb.RequestOp{nested(nested(put))}}, true},
	} {
		if got := writes(c.txn); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSettle: the end of the connection does not make an earlier attempt of a
// write certain; an answer does.
func TestSettle(t *testing.T) {
	w := request{subject: "kv.put.a", write: true}
	for _, c := range []struct {
		r       request
		kind    api.Kind
		unknown bool
		want    api.Kind
	}{
		{w, api.KindUnavailable, true, api.KindTimeout},
		{w, api.KindUnavailable, false, api.KindUnavailable},
		{w, api.KindCompareFailed, true, api.KindCompareFailed},
		{request{}, api.KindUnavailable, true, api.KindUnavailable},
	} {
		if got := settle(c.r, &api.Error{Kind: c.kind}, c.unknown).Kind; got != c.want {
			t.Errorf("%s, unknown %v: %s, want %s", c.kind, c.unknown, got, c.want)
		}
	}
}
