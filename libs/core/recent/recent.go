// Package recent is a storage node's side of the feed, by which the watch
// fan-out and others follow committed revisions: the newest events in memory, so
// that those who follow closely never touch the disk, and long polls for what
// follows a position. It does no I/O and knows no time but what its caller tells.
package recent

import (
	"slices"
	"sort"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Events are the newest events of a store, whole revisions. They belong to one
// goroutine.
type Events struct {
	bytesMax int
	events   []*kvpb.Event // consecutive, in position order
	bytes    int
	floor    int64 // every event of a revision above it is in events
	revision int64
	compact  int64
}

// New keeps about bytesMax bytes of what happens after a revision.
func New(revision, compacted int64, bytesMax int) *Events {
	return &Events{bytesMax: bytesMax, floor: revision, revision: revision, compact: compacted}
}

// Add takes the events of an apply, which brought the store to a revision. It
// reports whether polls may have something to answer now.
func (r *Events) Add(events []*kvpb.Event, revision, compacted int64) (changed bool) {
	if revision == r.revision && compacted == r.compact {
		return false
	}
	r.revision, r.compact = revision, compacted
	r.events = append(r.events, events...)
	for _, e := range events {
		r.bytes += eventBytes(e)
	}
	r.shrink()
	return true
}

// shrink drops the oldest revisions when there is too much: a quarter at once,
// since what stays is copied.
func (r *Events) shrink() {
	if r.bytes <= r.bytesMax {
		return
	}
	n := 0
	for r.bytes > r.bytesMax*3/4 && n < len(r.events) {
		r.floor = r.events[n].Kv.ModRevision
		for n < len(r.events) && r.events[n].Kv.ModRevision == r.floor {
			r.bytes -= eventBytes(r.events[n])
			n++
		}
	}
	r.events = slices.Clone(r.events[n:])
}

// Reset forgets everything: the state was exchanged for another.
func (r *Events) Reset(revision, compacted int64) { *r = *New(revision, compacted, r.bytesMax) }

// page is the events after a position, from memory; false where older ones are
// needed.
func (r *Events) page(after api.Position, maxBytes int) (*kvpb.FeedResponse, bool) {
	if api.End(r.floor).After(after) {
		return nil, false
	}
	i := sort.Search(len(r.events), func(i int) bool { return position(r.events[i]).After(after) })
	size, j := 0, i
	for j < len(r.events) && (j == i || size+eventBytes(r.events[j]) <= maxBytes) {
		size += eventBytes(r.events[j])
		j++
	}
	through := api.End(r.revision)
	if j < len(r.events) {
		through = position(r.events[j-1])
	} else if after.After(through) {
		through = after
	}
	return &kvpb.FeedResponse{
		Events:    r.events[i:j:j],
		Through:   &kvpb.Position{Revision: through.Revision, Sub: through.Sub},
		Compacted: r.compact,
		Revision:  r.revision,
	}, true
}

func position(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub}
}

// eventBytes is about what an event takes in memory, and no less than in a message.
func eventBytes(e *kvpb.Event) int { return len(e.Kv.Key) + len(e.Kv.Value) + 128 }
