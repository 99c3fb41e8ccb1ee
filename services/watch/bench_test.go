package watch_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// BenchmarkDelivery measures from a commit on the node to a client of the same
// node, one event at a time.
func BenchmarkDelivery(b *testing.B) {
	n := startNode(b)
	start(b, n, "watch-1", 0)
	nc := dial(b, n)
	events := make(chan *nats.Msg, 1)
	if _, err := nc.ChanSubscribe(api.SubjectWatch+">", events); err != nil {
		b.Fatal(err)
	}
	history(b, nc, api.SubjectHistory, &kvpb.HistoryRequest{})
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		began := time.Now()
		n.commit(fmt.Sprintf("/db/%d", i%100))
		<-events
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkStream measures events a second, committed as fast as they can be.
func BenchmarkStream(b *testing.B) {
	n := startNode(b)
	start(b, n, "watch-1", 0)
	nc := dial(b, n)
	events := make(chan *nats.Msg, 1<<17)
	if _, err := nc.ChanSubscribe(api.SubjectWatch+">", events); err != nil {
		b.Fatal(err)
	}
	history(b, nc, api.SubjectHistory, &kvpb.HistoryRequest{})
	go func() {
		for i := range b.N {
			n.commit(fmt.Sprintf("/db/%d/key", i%1000))
		}
	}()
	for range b.N {
		<-events
	}
}
