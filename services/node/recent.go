package node

import (
	"slices"
	"sort"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// recent keeps the newest events in memory, whole revisions, so that those who
// follow closely never touch the disk, and wakes them when there are more.
type recent struct {
	mu       sync.Mutex
	events   []*kvpb.Event // consecutive, in position order
	bytes    int
	floor    int64 // every event of a revision above it is in events
	revision int64
	compact  int64
	changed  chan struct{} // closed and replaced when revision or compact moves
}

func newRecent(revision, compacted int64) *recent {
	return &recent{floor: revision, revision: revision, compact: compacted, changed: make(chan struct{})}
}

// add takes the events of an apply, which brought the store to a revision.
func (r *recent) add(events []*kvpb.Event, revision, compacted int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision == r.revision && compacted == r.compact {
		return
	}
	r.revision, r.compact = revision, compacted
	r.events = append(r.events, events...)
	for _, e := range events {
		r.bytes += eventBytes(e)
	}
	r.shrink()
	close(r.changed)
	r.changed = make(chan struct{})
}

// shrink drops the oldest revisions while there is too much.
func (r *recent) shrink() {
	n := 0
	for r.bytes > recentBytesMax && n < len(r.events) {
		r.floor = r.events[n].Kv.ModRevision
		for n < len(r.events) && r.events[n].Kv.ModRevision == r.floor {
			r.bytes -= eventBytes(r.events[n])
			n++
		}
	}
	if n > 0 {
		r.events = slices.Clone(r.events[n:])
	}
}

// reset forgets everything: the state was exchanged for another.
func (r *recent) reset(revision, compacted int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.bytes, r.floor, r.revision, r.compact = nil, 0, revision, revision, compacted
	close(r.changed)
	r.changed = make(chan struct{})
}

// page is the events after a position, from memory. inMemory is false where
// older ones are needed, and next is closed when there may be more.
func (r *recent) page(after api.Position, maxBytes int) (resp *kvpb.FeedResponse, inMemory bool, next <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after.Revision < r.floor {
		return nil, false, r.changed
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
	}, true, r.changed
}

func position(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub}
}

func eventBytes(e *kvpb.Event) int { return proto.Size(e) + 64 }
