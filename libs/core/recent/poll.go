package recent

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// Bounds of a poll.
const (
	// BytesMax bounds a page, WaitMillisMax how long a poll waits.
	BytesMax      = 1 << 20
	WaitMillisMax = 30_000
)

// Poll is one request for the events after a position.
type Poll struct {
	// WaitMillis is how long it may wait for something new.
	WaitMillis int64

	request   *kvpb.FeedRequest
	after     api.Position
	maxBytes  int
	waited    bool
	compacted int64 // when it began to wait
}

// NewPoll makes a poll within the bounds.
func NewPoll(r *kvpb.FeedRequest) *Poll {
	p := &Poll{request: r, maxBytes: BytesMax, WaitMillis: min(r.WaitMillis, WaitMillisMax),
		after: api.Position{Revision: r.After.GetRevision(), Sub: r.After.GetSub()}}
	if r.MaxBytes > 0 {
		p.maxBytes = int(min(r.MaxBytes, BytesMax))
	}
	return p
}

// Next says what to do about a poll.
type Next int

const (
	// Send the answer.
	Send Next = iota
	// Wait until Add or Reset or until the time is up, and look again.
	Wait
	// Read the answer from the change records, with Stored.
	Read
)

// Look tries to answer from memory. timeUp: the poll has waited long enough.
// Besides events, a compaction while it waited is an answer.
func (p *Poll) Look(r *Events, timeUp bool) (*kvpb.FeedResponse, Next) {
	if len(p.request.Key) > 0 || p.request.PrevKv {
		return nil, Read
	}
	answer, ok := r.page(p.after, p.maxBytes)
	switch {
	case !ok:
		return nil, Read
	case len(answer.Events) > 0, timeUp, p.waited && answer.Compacted != p.compacted:
		return answer, Send
	}
	p.waited, p.compacted = true, answer.Compacted
	return nil, Wait
}

// Stored answers from the change records of a state.
func (p *Poll) Stored(s *mvcc.Published) (*kvpb.FeedResponse, error) {
	page, err := s.Events(mvcc.EventQuery{After: p.after, Key: p.request.Key, RangeEnd: p.request.RangeEnd,
		MaxBytes: p.maxBytes, PrevKV: p.request.PrevKv})
	if err != nil {
		return nil, err
	}
	return &kvpb.FeedResponse{
		Events:    page.Events,
		Through:   &kvpb.Position{Revision: page.Through.Revision, Sub: page.Through.Sub},
		Compacted: s.Compacted,
		Revision:  s.Revision,
	}, nil
}
