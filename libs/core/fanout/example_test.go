package fanout_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// The loop of a replica that may publish: take the feed's page, publish batch
// after batch, let readers see what was published.
func Example() {
	p := fanout.NewPublisher(fanout.Limits{}, api.Position{})
	p.Take(api.Epoch{Term: 3, N: 1})
	p.Add([]*kvpb.Event{
		{Kv: &kvpb.KeyValue{Key: []byte("/db/primary"), ModRevision: 1}},
		{Kv: &kvpb.KeyValue{Key: []byte("/db/standby"), ModRevision: 1}, Sub: 1, Last: true},
	}, api.End(1))
	for batch := p.Batch(); batch != nil; batch = p.Batch() {
		for _, m := range batch {
			fmt.Println(m.Subject, m.Header[api.HeaderSince])
		}
		p.Done()
	}
	page, _ := p.View().History(fanout.Query{Limit: 10, Bytes: 1 << 20})
	fmt.Println(len(page.Events), "events")
	// Output:
	// kvprogress []
	// kvwatch.db.primary [0.0+ 0.0+ 0.0]
	// kvwatch.db.standby [1.0 1.0 0.0]
	// 2 events
}
