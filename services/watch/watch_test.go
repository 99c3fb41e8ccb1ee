package watch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed"
	"github.com/kvorum/kvorum/services/watch"
)

// start runs a replica in this process; stop ends it and waits.
func start(t testing.TB, n *node, name string, windowBytes int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	cfg := watch.Config{Name: name, Routes: []string{n.bus.RouteAddress()}, RouteListen: "127.0.0.1:0",
		ClusterName: "kvorum", Secret: secret, WindowBytes: windowBytes}
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("replica", name)
	}
	go func() { done <- watch.Run(ctx, cfg) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestPublishes(t *testing.T) {
	n := startNode(t)
	n.commit("/before")
	start(t, n, "watch-1", 0)
	nc := dial(t, n)
	events := make(chan *nats.Msg, 10)
	for _, subject := range []string{"kvwatch.db.>", "kvtail.key.db.primary"} {
		if _, err := nc.ChanSubscribe(subject, events); err != nil {
			t.Fatal(err)
		}
	}
	first := history(t, nc, "kv.history.db", &kvpb.HistoryRequest{})
	if p := feed.Position(first.Through); p != api.End(1) || len(first.Events) > 0 || first.Epoch.GetTerm() != 1 {
		t.Errorf("joined with %v", first)
	}
	n.commit("/other", "/db/primary")
	m := <-events
	if m.Subject != "kvwatch.db.primary" || string(m.Data) != "/db/primary at 2" ||
		m.Header.Get(api.HeaderSince) != "2.0 1 1" || m.Header.Get(api.HeaderSub) != "1" {
		t.Errorf("event %s %q %v", m.Subject, m.Data, m.Header)
	}
	m = <-events
	if m.Subject != "kvtail.key.db.primary" || m.Header.Get(api.HeaderThrough) != "2.1" {
		t.Errorf("tail %s %v", m.Subject, m.Header)
	}
	var sync struct{ Last, Published string }
	answer := ask(t, nc, "kv.sync.db", "", nil)
	if err := json.Unmarshal(answer.Data, &sync); err != nil || sync.Last != "2.1" || sync.Published != "2" {
		t.Errorf("sync says %s, %v", answer.Data, err)
	}
	if answer.Header.Get(api.HeaderSequence) == "" || answer.Header.Get(api.HeaderEpoch) != "1.1" {
		t.Errorf("sync has headers %v", answer.Header)
	}
}

func TestHistory(t *testing.T) {
	n := startNode(t)
	for i := range 3 {
		n.commit("/a/1", fmt.Sprintf("/b/%d", i))
	}
	start(t, n, "watch-1", 0)
	nc := dial(t, n)
	history(t, nc, api.SubjectHistory, &kvpb.HistoryRequest{}) // serves
	n.commit("/a/1", "/b/3")
	w := follow(t, n)
	w.until(4)
	w.complete(n)

	for name, c := range map[string]struct{ subject, body, want string }{
		"from the store": {"kv.history.b", `{"since":"1.0"}`, "1.1 2.1 3.1 4.1"},
		"from memory":    {"kv.history.b", `{"since":"3"}`, "4.1"},
		"limited":        {"kv.history.a", `{"since":"0.0","limit":2}`, "1.0 2.0 more"},
		"one key":        {"kv.history", `{"key":"/b/1","since":"0.0"}`, "2.1"},
		"with before":    {"kv.history.b", `{"since":"3","prev":true}`, "4.1 before"},
		"nothing new":    {"kv.history", `{"since":"4"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := ask(t, nc, c.subject, "", []byte(c.body))
			var page struct {
				Events []struct {
					Revision, Sub string
					Prev          *struct{ Value string }
				}
				More bool
			}
			if err := json.Unmarshal(m.Data, &page); err != nil {
				t.Fatalf("%s: %v", m.Data, err)
			}
			var got []string
			for _, e := range page.Events {
				got = append(got, e.Revision+"."+e.Sub)
				if e.Prev != nil {
					got = append(got, e.Prev.Value)
				}
			}
			if page.More {
				got = append(got, "more")
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	n := startNode(t)
	for range 10 {
		n.commit("/a")
	}
	n.compact(5)
	start(t, n, "watch-1", 0)
	nc := dial(t, n)
	history(t, nc, api.SubjectHistory, &kvpb.HistoryRequest{})
	long := strings.Repeat("x", api.MaxKeyBytes+1)
	for name, c := range map[string]struct {
		subject, header, value, body string
		kind                         api.Kind
	}{
		"position":         {"kv.history", "", "", `{"since":"x"}`, api.KindBadRequest},
		"negative":         {"kv.history", "", "", `{"since":"-1.0"}`, api.KindBadRequest},
		"limit":            {"kv.history", "", "", `{"since":"7.0","limit":-1}`, api.KindBadRequest},
		"compacted":        {"kv.history", "", "", `{"since":"3.0"}`, api.KindCompacted},
		"header":           {"kv.history", "Kv-Limit", "3", ``, api.KindBadRequest},
		"content type":     {"kv.history", "Content-Type", "text/html", ``, api.KindBadRequest},
		"json":             {"kv.history", "", "", `{`, api.KindBadRequest},
		"unknown field":    {"kv.sync", "", "", `{"wait":1}`, api.KindBadRequest},
		"protobuf":         {"kv.history", "Content-Type", api.ContentProtobuf, "\xff", api.KindBadRequest},
		"unknown protobuf": {"kv.sync", "Content-Type", api.ContentProtobuf, "\xa8\x01\x01", api.KindBadRequest},
		"prefix":           {"kv.history.a%2Fb", "", "", ``, api.KindBadKey},
		"prefix and key":   {"kv.history.a", "", "", `{"key":"/b"}`, api.KindBadRequest},
		"long key":         {"kv.sync", "", "", `{"key":"` + long + `"}`, api.KindBadKey},
	} {
		t.Run(name, func(t *testing.T) {
			m := &nats.Msg{Subject: c.subject, Header: nats.Header{}, Data: []byte(c.body)}
			if c.header != "" {
				m.Header.Set(c.header, c.value)
			}
			answer := askMsg(t, nc, m)
			e := api.ParseError(answer.Header, answer.Data)
			if e == nil || e.Kind != c.kind {
				t.Fatalf("answers %v, %s", e, answer.Data)
			}
			if c.kind == api.KindCompacted && e.Compacted != 5 {
				t.Errorf("the compacted revision is %d", e.Compacted)
			}
		})
	}
	if resp := history(t, nc, api.SubjectHistory, &kvpb.HistoryRequest{Since: feed.Wire(api.End(4))}); len(resp.Events) != 6 {
		t.Errorf("since the end of 4: %d events", len(resp.Events))
	}
}

func TestDiscovery(t *testing.T) {
	n := startNode(t)
	start(t, n, "watch-1", 0)
	nc := dial(t, n)
	history(t, nc, api.SubjectHistory, &kvpb.HistoryRequest{})
	m := ask(t, nc, "$SRV.STATS.kvorum-watch", "", nil)
	var stats struct {
		Name      string
		Endpoints []struct {
			Name     string
			Requests int `json:"num_requests"`
		}
	}
	if err := json.Unmarshal(m.Data, &stats); err != nil || stats.Name != "kvorum-watch" || len(stats.Endpoints) != 4 || stats.Endpoints[0].Requests == 0 {
		t.Errorf("%s %v", m.Data, err)
	}
}
