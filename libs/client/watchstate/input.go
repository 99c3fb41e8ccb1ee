package watchstate

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Live is an event as it was published, with what its Kv-Since says of the
// watched scope.
type Live struct {
	Epoch api.Epoch
	Event *kvpb.Event // its position is (Kv.ModRevision, Sub)
	// Since is the position of the scope's previous event, or a later one.
	Since api.Position
	// More tells that the same revision goes on in the scope.
	More bool
}

// Tail says that the scope's last event is at Through, or earlier.
type Tail struct {
	Epoch   api.Epoch
	Through api.Position
}

// Progress says that everything up to Through was published before it.
type Progress struct {
	Epoch    api.Epoch
	Sequence uint64 // consecutive within an epoch
	Through  api.Position
}

// Question is what the state wants to know: the events after Since.
type Question struct {
	// Since is nil for a watch that begins now: the answer then has no events
	// and its Through is where the watch begins.
	Since *api.Position
	// Futile counts the answers since the last one that helped: back off.
	Futile int
	// Herd tells that what made the question made every other watcher ask at
	// this moment as well: wait a random time first.
	Herd bool

	interruptions uint64
	counting      bool
}

// Answer is the history after a question's Since, in order.
type Answer struct {
	Events []*kvpb.Event
	// Through: every event of the range up to here has been given. Unless More
	// is set, no revision is cut here.
	Through api.Position
	// More tells that the answer is a page, which may end inside a revision.
	More bool
	// Epoch under which it was given.
	Epoch api.Epoch
}

// Revision is all that one revision changed in the watched range.
type Revision struct {
	Revision int64
	Events   []*kvpb.Event // in order, at least one
}

func positionOf(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
}

// eventBytes is about what an event takes in memory.
func eventBytes(e *kvpb.Event) int {
	const overhead = 256
	return overhead + len(e.GetKv().GetKey()) + len(e.GetKv().GetValue()) +
		len(e.GetPrevKv().GetKey()) + len(e.GetPrevKv().GetValue())
}
