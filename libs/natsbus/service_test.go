package natsbus

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ask sends a question to all instances and gives the first n answers.
func ask[T any](t *testing.T, nc *nats.Conn, subject string, n int) []T {
	t.Helper()
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(subject, inbox.Subject, nil); err != nil {
		t.Fatal(err)
	}
	var out []T
	for range n {
		m, err := inbox.NextMsg(patience)
		if err != nil {
			t.Fatalf("%s: answer %d: %v", subject, len(out)+1, err)
		}
		var v T
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatalf("%s: %s: %v", subject, m.Data, err)
		}
		out = append(out, v)
	}
	return out
}

func TestAnnounce(t *testing.T) {
	b := startClient(t, clientConfig("a", "127.0.0.1:0"))
	endpoints := []Endpoint{{Name: "get", Subject: "kv.get.>", QueueGroup: "q"}, {Name: "put", Subject: "kv.put.>"}}
	var stops []func()
	for _, id := range []string{"node-1", "node-2", "node-3"} {
		stats := NewStats(endpoints)
		stats.Observe("get", 2*time.Millisecond, nil)
		stats.Observe("get", 4*time.Millisecond, errors.New("no leader"))
		nc := service(t, b)
		stop, err := Announce(nc, ServiceInfo{Name: "kvorum", ID: id, Version: "0.1.0", Endpoints: endpoints}, stats.Endpoints)
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	client := dial(t, b)
	for _, subject := range []string{"$SRV.PING", "$SRV.PING.kvorum"} {
		ids := map[string]bool{}
		for _, p := range ask[micro.Ping](t, client, subject, 3) {
			ids[p.ID] = p.Type == micro.PingResponseType && p.Name == "kvorum" && p.Metadata != nil
		}
		if !ids["node-1"] || !ids["node-2"] || !ids["node-3"] {
			t.Errorf("%s: %v", subject, ids)
		}
	}
	info := ask[micro.Info](t, client, "$SRV.INFO.kvorum.node-2", 1)[0]
	if info.ID != "node-2" || len(info.Endpoints) != 2 || info.Endpoints[0].Subject != "kv.get.>" || info.Version != "0.1.0" {
		t.Errorf("info: %+v", info)
	}
	s := ask[micro.Stats](t, client, "$SRV.STATS.kvorum.node-1", 1)[0]
	get := s.Endpoints[0]
	if get.NumRequests != 2 || get.NumErrors != 1 || get.LastError != "no leader" || get.AverageProcessingTime != 3*time.Millisecond || s.Started.IsZero() {
		t.Errorf("stats: %+v", get)
	}
	for _, stop := range stops {
		stop()
	}
	mustEventually(t, "nobody answers after stop", func() bool {
		_, err := client.Request("$SRV.PING", nil, patience)
		return errors.Is(err, nats.ErrNoResponders)
	})
}

func TestStatsCountsAll(t *testing.T) {
	s := NewStats([]Endpoint{{Name: "get"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s.Observe("get", time.Microsecond, nil)
				s.Observe("other", time.Microsecond, nil)
			}
		})
	}
	wg.Wait()
	got := s.Endpoints()
	if len(got) != 1 || got[0].NumRequests != 8000 || got[0].ProcessingTime != 8*time.Millisecond {
		t.Errorf("%+v", got)
	}
}
