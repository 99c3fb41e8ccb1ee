package node

import (
	"sync"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	events "github.com/kvorum/kvorum/libs/core/recent"
)

// recent shares the newest events between the applier and those who follow, and
// wakes the latter when there are more.
type recent struct {
	mu      sync.Mutex
	events  *events.Events
	changed chan struct{} // closed and replaced when there is something new
}

func newRecent(revision, compacted int64) *recent {
	return &recent{events: events.New(revision, compacted, recentBytesMax), changed: make(chan struct{})}
}

// add takes the events of an apply, which brought the store to a revision.
func (r *recent) add(events []*kvpb.Event, revision, compacted int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events.Add(events, revision, compacted) {
		r.wake()
	}
}

// reset forgets everything: the state was exchanged for another.
func (r *recent) reset(revision, compacted int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events.Reset(revision, compacted)
	r.wake()
}

func (r *recent) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// look tries to answer a poll; changed is closed when it is worth another look.
func (r *recent) look(p *events.Poll, timeUp bool) (answer *kvpb.FeedResponse, next events.Next, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, next = p.Look(r.events, timeUp)
	return answer, next, r.changed
}
