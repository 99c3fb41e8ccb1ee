package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/tests/harness"
)

type badInput struct {
	name    string
	subject string
	header  nats.Header
	body    string
	kind    api.Kind
	says    string // part of the message
}

func badInputs() []badInput {
	h := func(kv ...string) nats.Header { return nats.Header{kv[0]: kv[1:]} }
	pb := h("Content-Type", api.ContentProtobuf)
	put := func(key string) string { return fmt.Sprintf(`{"put":{"key":%q,"value":"x"}}`, key) }
	var many []string
	for i := range api.MaxTxnOps + 1 {
		many = append(many, put(fmt.Sprint("/many/", i)))
	}
	var reads []string
	for i := range api.MaxTxnOps - 1 {
		reads = append(reads, fmt.Sprintf(`{"get":{"key":"/%04d%s","range_end":"/1%s"}}`, i, strings.Repeat("k", api.MaxKeyBytes-5), strings.Repeat("k", api.MaxKeyBytes-2)))
	}
	wide := strings.Join(append(reads, put("/wide")), ",")
	return []badInput{
		{"escape that need not be", "kv.put.%41", nil, "x", api.KindBadKey, ""},
		{"lower-case escape", "kv.put.a%2f", nil, "x", api.KindBadKey, ""},
		{"key too long for a subject", "kv.put." + strings.Repeat("k", api.MaxSubjectKeyBytes+1), nil, "x", api.KindBadKey, "1024"},
		{"key too deep for a subject", "kv.put." + strings.Repeat("k.", 16) + "k", nil, "x", api.KindBadKey, "16"},
		{"empty key", "kv.txn", nil, `{"then":[{"put":{"key":"","value":"x"}}]}`, api.KindBadKey, ""},
		{"key over the limit", "kv.txn", nil, `{"then":[` + put("/"+strings.Repeat("k", api.MaxKeyBytes)) + `]}`, api.KindBadKey, "4096"},
		{"unknown operation", "kv.frobnicate.db", nil, "", api.KindUnknownOperation, "frobnicate"},
		{"unknown operation, short", "kv.frobnicate", nil, "", api.KindUnknownOperation, "frobnicate"},
		{"unknown consistency", "kv.get.a", h("Kv-Consistency", "eventual"), "", api.KindBadRequest, "eventual"},
		{"unknown flag value", "kv.put.a", h("Kv-Prev", "yes"), "x", api.KindBadRequest, "yes"},
		{"unknown header", "kv.put.a", h("Kv-Colour", "red"), "x", api.KindBadRequest, "Kv-Colour"},
		{"header of another operation", "kv.get.a", h("Kv-If-Revision", "1"), "", api.KindBadRequest, "Kv-If-Revision"},
		{"header twice", "kv.put.a", h("Kv-If-Revision", "1", "2"), "x", api.KindBadRequest, "more than once"},
		{"malformed JSON", "kv.txn", nil, `{"then":[`, api.KindBadRequest, ""},
		{"unknown JSON field", "kv.txn", nil, `{"perhaps":[]}`, api.KindBadRequest, "perhaps"},
		{"unknown op", "kv.txn", nil, `{"then":[{"frob":{"key":"/a"}}]}`, api.KindBadRequest, "frob"},
		{"both value forms", "kv.txn", nil, `{"then":[{"put":{"key":"/a","value":"x","value_base64":"eA=="}}]}`, api.KindBadRequest, "value"},
		{"malformed protobuf", "kv.txn", pb, "\xff\xff\xff", api.KindBadRequest, ""},
		{"unknown protobuf field", "kv.txn", pb, "\x98\x3f\x01", api.KindBadRequest, "fields"},
		{"unknown content type", "kv.txn", h("Content-Type", "text/xml"), "<a/>", api.KindBadRequest, "text/xml"},
		{"negative revision", "kv.get.a", h("Kv-Revision", "-1"), "", api.KindBadRequest, "-1"},
		{"future revision", "kv.get.a", h("Kv-Revision", "1000000"), "", api.KindFutureRevision, ""},
		{"compacted revision", "kv.get.a", h("Kv-Revision", "2"), "", api.KindCompacted, ""},
		{"compaction of the future", "kv.compact", nil, `{"revision":1000000}`, api.KindFutureRevision, ""},
		{"compaction of the compacted", "kv.compact", nil, `{"revision":2}`, api.KindCompacted, ""},
		{"negative compaction", "kv.compact", nil, `{"revision":-4}`, api.KindBadRequest, ""},
		{"value too large", "kv.put.a", nil, strings.Repeat("v", api.MaxRequestBytes+1), api.KindTooLarge, fmt.Sprint(api.MaxRequestBytes)},
		{"too large for the log", "kv.txn", nil, `{"if":[{"key":"/a","version":0},{"key":"/b","value":"` + strings.Repeat("v", 1<<20) + `"}],"then":[` + wide + `],"else":[` + wide + `]}`, api.KindTooLarge, fmt.Sprint(store.MaxCommandBytes)},
		{"too many operations", "kv.txn", nil, `{"then":[` + strings.Join(many, ",") + `]}`, api.KindTooManyOps, "128"},
		{"duplicate key", "kv.txn", nil, `{"then":[` + put("/dup") + `,` + put("/dup") + `]}`, api.KindDuplicateKey, "/dup"},
		{"put under a delete", "kv.txn", nil, `{"then":[` + put("/dup/x") + `,{"delete":{"key":"/dup/","prefix":true}}]}`, api.KindDuplicateKey, ""},
		{"revision that does not match", "kv.put.a", h("Kv-If-Revision", "999"), "x", api.KindCompareFailed, ""},
		{"lease that does not exist", "kv.put.a", h("Kv-Lease", "00000000000f7f3a"), "x", api.KindLeaseNotFound, ""},
		{"lease that is none", "kv.put.a", h("Kv-Lease", "12"), "x", api.KindBadRequest, "16 hex"},
		{"body of a get", "kv.get.a", nil, "x", api.KindBadRequest, "body"},
		{"prefix of no range", "kv.list.~", nil, "", api.KindBadKey, ""},
		{"page token of nobody", "kv.list.db", nil, `{"continue":"bm90aGluZw"}`, api.KindBadRequest, "continue"},
		{"history of no position", "kv.history.db", nil, `{"since":"yesterday"}`, api.KindBadRequest, "since"},
		{"empty message id", "kv.put.a", h("Nats-Msg-Id", ""), "x", api.KindBadRequest, "Nats-Msg-Id"},
		{"long message id", "kv.put.a", h("Nats-Msg-Id", strings.Repeat("i", api.MaxMsgIDBytes+1)), "x", api.KindBadRequest, "256"},
	}
}

// Every bad input is answered with its kind and changes nothing.
func TestBadInput(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	cl := c.Client()
	for range 5 {
		if _, err := cl.Put(ctx, "/a", []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cl.Compact(ctx, 4, false); err != nil {
		t.Fatal(err)
	}
	before, err := cl.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range badInputs() {
		t.Run(in.name, func(t *testing.T) { refused(t, cl.Conn(), in) })
	}
	after, err := cl.Status(ctx)
	if err != nil || after.Revision != before.Revision {
		t.Errorf("the store went from revision %d to %d (%v)", before.Revision, after.Revision, err)
	}
}

// refused sends a bad request and looks at its answer.
func refused(t *testing.T, nc *nats.Conn, in badInput) {
	t.Helper()
	m, err := nc.RequestMsg(&nats.Msg{Subject: in.subject, Header: in.header, Data: []byte(in.body)}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	e := api.ParseError(m.Header, m.Data)
	if e == nil || e.Kind != in.kind || !strings.Contains(e.Message, in.says) {
		t.Fatalf("answered %v %q, want %s with %q", e, m.Data, in.kind, in.says)
	}
	if code := m.Header.Get(api.HeaderServiceErrorCode); code != fmt.Sprint(in.kind.Code()) {
		t.Errorf("code %q, want %d", code, in.kind.Code())
	}
	var body struct{ Kind, Message string }
	if err := json.Unmarshal(m.Data, &body); err != nil || body.Kind != string(in.kind) || body.Message == "" {
		t.Errorf("the body is %q (%v)", m.Data, err)
	}
}

// A failed compare tells where the key is.
func TestCompareFailedTellsTheRevision(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1})
	ctx := bounded(t)
	cl := c.Client()
	p, err := cl.Put(ctx, "/a", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := cl.Conn().RequestMsg(&nats.Msg{Subject: "kv.put.a", Header: nats.Header{"Kv-If-Revision": {"1"}}, Data: []byte("2")}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if e := api.ParseError(m.Header, m.Data); e == nil || e.ModRevision != p.Revision || e.Kind != api.KindCompareFailed {
		t.Errorf("answered %+v, want mod revision %d", e, p.Revision)
	}
	kv, err := cl.Get(ctx, "/a")
	if err != nil || string(kv.Value) != "1" {
		t.Errorf("the key is %q (%v)", kv.Value, err)
	}
}

// The forms of one request give the same answer: raw, JSON and protobuf.
func TestForms(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1, Fanouts: 1})
	ctx := bounded(t)
	cl := c.Client()
	value := bytes.Repeat([]byte{0xff, 'x', 0}, 400_000)
	if _, err := cl.Put(ctx, "/big", value); err != nil {
		t.Fatal(err)
	}
	if kv, err := cl.Get(ctx, "/big"); err != nil || !bytes.Equal(kv.Value, value) {
		t.Fatalf("raw: %d bytes (%v)", len(kv.Value), err)
	}
	req := &kvpb.RangeRequest{Key: []byte("/big")}
	body, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	m, err := cl.Conn().RequestMsg(&nats.Msg{Subject: "kv.range", Header: nats.Header{"Content-Type": {api.ContentProtobuf}}, Data: body}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	resp := &kvpb.RangeResponse{}
	if err := proto.Unmarshal(m.Data, resp); err != nil || len(resp.Kvs) != 1 || !bytes.Equal(resp.Kvs[0].Value, value) {
		t.Fatalf("protobuf: %v %v", api.ParseError(m.Header, m.Data), err)
	}
	m, err = cl.Conn().Request("kv.range", []byte(`{"key":"/big"}`), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Kvs []struct {
			Key   string
			Value []byte `json:"value_base64"`
		}
		Count string
	}
	if err := json.Unmarshal(m.Data, &list); err != nil || len(list.Kvs) != 1 || !bytes.Equal(list.Kvs[0].Value, value) || list.Count != "1" {
		t.Fatalf("JSON: %.200s (%v)", m.Data, err)
	}
}

// Every service is found by NATS service discovery.
func TestDiscovery(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 2})
	nc := c.Client().Conn()
	if _, err := nc.Request("kv.get.ready", nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$SRV.STATS", inbox, nil); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	requests := 0
	for range 5 {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("found %v: %v", found, err)
		}
		var s micro.Stats
		if err := json.Unmarshal(m.Data, &s); err != nil {
			t.Fatal(err)
		}
		found[s.Name]++
		for _, e := range s.Endpoints {
			requests += e.NumRequests
		}
	}
	if found["kvorum-node"] != 3 || found["kvorum-watch"] != 2 || requests == 0 {
		t.Errorf("found %v with %d requests", found, requests)
	}
}
