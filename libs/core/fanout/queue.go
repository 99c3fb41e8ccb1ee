package fanout

import (
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// queue holds the events that were received and not yet published, in order.
type queue struct {
	events []*kvpb.Event // from head on
	head   int
	bytes  int
	// fed: every event up to here has been received.
	fed api.Position
}

func (q *queue) len() int           { return len(q.events) - q.head }
func (q *queue) front() *kvpb.Event { return q.events[q.head] }

func (q *queue) add(events []*kvpb.Event, through api.Position) {
	for _, e := range events {
		if !positionOf(e).After(q.fed) {
			continue
		}
		q.events = append(q.events, e)
		q.bytes += eventBytes(e)
	}
	if through.After(q.fed) {
		q.fed = through
	}
}

func (q *queue) pop() *kvpb.Event {
	e := q.events[q.head]
	q.events[q.head] = nil
	q.head++
	q.bytes -= eventBytes(e)
	if q.head > 1024 && q.head > len(q.events)/2 || q.head == len(q.events) {
		q.events = slices.Delete(q.events, 0, q.head)
		q.head = 0
	}
	return e
}

// first gives the received events of the first revision in the queue, and
// whether they are all that is left of it.
func (q *queue) first() (events []*kvpb.Event, complete bool) {
	events = q.events[q.head:]
	revision := events[0].Kv.ModRevision
	for i, e := range events {
		if e.Kv.ModRevision != revision {
			return events[:i], true
		}
		if e.Last {
			return events[:i+1], true
		}
	}
	return events, !api.End(revision).After(q.fed)
}
