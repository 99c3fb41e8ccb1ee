package sim

import (
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// pastRevisions is how many of the newest revisions are asked of every node.
const pastRevisions = 200

// pasts: every node tells the same history, with the values before, as was
// committed.
func (j *judge) pasts() {
	for _, n := range j.w.nodes {
		j.w.report.Checks++
		j.past(n, n.machine.Published())
	}
}

// past compares a node's history with what was committed.
func (j *judge) past(n *node, p *mvcc.Published) {
	from := max(p.Compacted, p.Revision-pastRevisions, 1) - 1
	before := map[string]*kvpb.KeyValue{}
	events := j.events
	for ; len(events) > 0 && events[0].Kv.ModRevision <= from; events = events[1:] {
		remember(before, events[0])
	}
	for q := (mvcc.EventQuery{After: api.End(from), PrevKV: true}); ; {
		page, err := p.Events(q)
		if err != nil {
			j.w.fail("node %d tells no history after %v: %v", n.id, q.After, err)
		}
		for _, e := range page.Events {
			if len(events) == 0 {
				j.w.fail("node %d tells of %v, which was not committed", n.id, e)
			}
			want := proto.CloneOf(events[0])
			if e.Kv.ModRevision > p.Compacted {
				want.PrevKv = before[string(e.Kv.Key)]
			}
			if !proto.Equal(e, want) {
				j.w.fail("node %d tells of %v where %v was committed", n.id, e, want)
			}
			remember(before, e)
			events = events[1:]
		}
		if !page.More {
			break
		}
		q.After = page.Through
	}
	if len(events) > 0 {
		j.w.fail("node %d tells nothing of %v", n.id, events[0])
	}
}

// remember is the state of a key after an event.
func remember(state map[string]*kvpb.KeyValue, e *kvpb.Event) {
	delete(state, string(e.Kv.Key))
	if e.Type == kvpb.Event_PUT {
		state[string(e.Kv.Key)] = e.Kv
	}
}
