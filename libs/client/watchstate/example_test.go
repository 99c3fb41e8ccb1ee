package watchstate_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// A driver feeds what arrives, asks the history when there is a question and
// hands out what can be delivered.
func Example() {
	epoch := api.Epoch{Term: 1, N: 1}
	s := watchstate.New(watchstate.Config{})
	q, _ := s.Question() // where does a watch from now on begin?
	s.Answer(q, watchstate.Answer{Epoch: epoch, Through: api.Position{Revision: 7}})

	// Revision 8 was lost: the next event of the scope tells.
	event := func(revision int64) *kvpb.Event {
		return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("/a"), ModRevision: revision}}
	}
	s.Live(watchstate.Live{Epoch: epoch, Event: event(9), Since: api.Position{Revision: 8}})
	if q, ok := s.Question(); ok {
		fmt.Println("ask for the history since", q.Since)
		s.Answer(q, watchstate.Answer{Epoch: epoch, Events: []*kvpb.Event{event(8)}, Through: api.Position{Revision: 8}})
	}
	for r, ok := s.Pop(); ok; r, ok = s.Pop() {
		fmt.Println("revision", r.Revision)
	}
	// Output:
	// ask for the history since 7.0
	// revision 8
	// revision 9
}
