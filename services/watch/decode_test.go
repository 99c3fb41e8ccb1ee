package watch

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// Whatever a client sends is a request within the limits or a typed error.
func FuzzHistoryRequest(f *testing.F) {
	f.Add("kv.history", "", []byte(`{"since":"3.1","limit":10,"prev":true,"key":"/a"}`))
	f.Add("kv.history.a.b", api.ContentJSON, []byte(`{"since":"7"}`))
	body, err := proto.Marshal(&kvpb.HistoryRequest{Key: []byte("/a"), RangeEnd: []byte{0}, Since: &kvpb.Position{Revision: 3}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("kv.history", api.ContentProtobuf, body)
	r := fanout.NewReplica("w", fanout.Limits{})
	r.Begin(api.Position{})
	r.Page(&kvpb.FeedResponse{Compacted: 5})
	compacted := r.Snapshot()
	f.Fuzz(func(t *testing.T, subject, content string, body []byte) {
		m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: body}
		if content != "" {
			m.Header.Set(api.HeaderContentType, content)
		}
		req, err := parseRequest(operations[0], m)
		h := new(kvpb.HistoryRequest)
		var keys fanout.Range
		if err == nil {
			keys, err = req.decode(h)
		}
		if err == nil && h.Since != nil {
			_, _, err = compacted.History(h, keys, fanout.HistoryBytes)
		}
		if err != nil {
			if k := api.KindOf(err); k != api.KindBadRequest && k != api.KindBadKey && k != api.KindCompacted {
				t.Errorf("refused as %q: %v", k, err)
			}
			return
		}
		if len(keys.Key) > api.MaxKeyBytes+1 || len(keys.End) > api.MaxKeyBytes+1 || h.GetSince().GetRevision() < 0 {
			t.Errorf("took %v since %v", keys, h.Since)
		}
	})
}

// granted is a replica that publishes, with a grant of half a second from 0 on.
func granted() *fanout.Replica {
	r := fanout.NewReplica("w", fanout.Limits{})
	r.Begin(api.Position{})
	r.Answered(0, &kvpb.GrantResponse{Granted: true, Epoch: &kvpb.Epoch{Term: 1, N: 1}, ForMillis: 500}, false)
	r.Settle(1)
	return r
}

// holder is a replica on a bus of its own that has published some events and
// answers requests.
func holder(t *testing.T, events ...*kvpb.Event) (*requests, *nats.Conn) {
	t.Helper()
	bus, err := natsbus.StartClient(natsbus.ClientConfig{Name: "w", RouteListen: "127.0.0.1:0", ClusterName: "test", Secret: "secret-of-the-tests"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	r := &replica{routes: func() uint64 { return 1 }, now: func() fanout.Instant { return 1 }, rules: granted(), lost: make(chan error, 2)}
	if err := r.connect(bus); err != nil {
		t.Fatal(err)
	}
	r.requests = newRequests(context.Background(), "w", r)
	r.rules.Page(&kvpb.FeedResponse{Events: events})
	for r.rules.Waiting() {
		if err := r.publish(); err != nil {
			t.Fatal(err)
		}
	}
	r.requests.open()
	return r.requests, r.kv
}

func refusal(t *testing.T, nc *nats.Conn, contentType string) *api.Error {
	t.Helper()
	answer, err := nc.RequestMsg(&nats.Msg{Subject: api.SubjectHistory, Data: nil,
		Header: nats.Header{api.HeaderContentType: {contentType}}}, waitLong)
	if err != nil {
		t.Fatal(err)
	}
	return api.ParseError(answer.Header, answer.Data)
}

func TestOverloaded(t *testing.T) {
	q, nc := holder(t)
	for range RequestsMax {
		q.slots <- struct{}{}
	}
	if e := refusal(t, nc, api.ContentJSON); e == nil || e.Kind != api.KindOverloaded {
		t.Errorf("answers %v", e)
	}
	<-q.slots
	if e := refusal(t, nc, api.ContentJSON); e != nil {
		t.Errorf("answers %v", e)
	}
}

// JSON takes up to six times as many bytes as the value: pages get shorter, and
// where one event does not fit, the client is told what to do.
func TestLargeAnswers(t *testing.T) {
	put := func(revision int64, size int) *kvpb.Event {
		return &kvpb.Event{Last: true, Kv: &kvpb.KeyValue{Key: []byte("/a"), ModRevision: revision, Value: bytes.Repeat([]byte{1}, size)}}
	}
	_, nc := holder(t, put(1, 700<<10), put(2, 700<<10), put(3, 700<<10), put(4, 1500<<10))
	for since, want := range map[string]string{"0.0": `"through":"1","more":true`, "3": "too_large"} {
		answer, err := nc.Request(api.SubjectHistory, []byte(`{"since":"`+since+`"}`), waitLong)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(answer.Data), want) {
			t.Errorf("since %s: %d bytes, %.200s", since, len(answer.Data), answer.Data)
		}
	}
}

const waitLong = 20 * time.Second
