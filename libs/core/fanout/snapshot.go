package fanout

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// HistoryEvents and HistoryBytes bound a page of the history.
const (
	HistoryEvents = 10_000
	HistoryBytes  = api.MaxAnswerBytes
)

// storeWaitMillis is how long a node that is behind may wait for the events.
const storeWaitMillis = 200

// Snapshot is what requests are answered from. It never changes, and may be
// read by any goroutine.
type Snapshot struct {
	view      *View
	grant     Grant
	sequence  uint64
	compacted int64
}

// Epoch is the newest grant of the replica, Sequence the number of the last
// progress message in it, Through what was published.
func (s *Snapshot) Epoch() api.Epoch      { return s.grant.epoch }
func (s *Snapshot) Sequence() uint64      { return s.sequence }
func (s *Snapshot) Through() api.Position { return s.view.Through() }

// Speaks tells whether an answer made from s may be sent now, when the replica
// is where current says: it may have taken long. It is true in any case, but
// only the holder's says what watchers will still be sent.
func (s *Snapshot) Speaks(current *Snapshot, now Instant) bool {
	epoch, held := current.grant.Held(now)
	return held && epoch == s.grant.epoch
}

// Sync answers kv.sync for a range.
func (s *Snapshot) Sync(keys Range) *kvpb.SyncResponse {
	return &kvpb.SyncResponse{
		Last: wire(s.view.Last(keys)), Published: wire(s.view.Through()),
		Compacted: s.compacted, Epoch: s.wireEpoch(),
	}
}

// History answers kv.history for a range, in a page of about that many bytes.
// Where the window does not have the answer it gives a question for the store.
func (s *Snapshot) History(r *kvpb.HistoryRequest, keys Range, bytes int) (*kvpb.HistoryResponse, *StoreQuestion, error) {
	if r.Limit < 0 {
		return nil, nil, api.Errorf(api.KindBadRequest, "limit %d is negative", r.Limit)
	}
	published := s.view.Through()
	if r.Since == nil {
		return s.answer(Page{Through: wholeUpTo(published)}), nil, nil
	}
	since, err := s.since(r.Since)
	if err != nil {
		return nil, nil, err
	}
	q := Query{Range: keys, Since: since, Limit: HistoryEvents, Bytes: bytes}
	if r.Limit > 0 {
		q.Limit = int(min(r.Limit, HistoryEvents))
	}
	// A question from inside a revision that is not published comes from a page
	// of a node that was ahead, or from nowhere: only the store can tell.
	ahead := since.Revision > published.Revision && wholeUpTo(since) != since
	if !ahead && (!r.PrevKv || !published.After(since)) {
		if page, ok := s.view.History(q); ok {
			return s.answer(page), nil, nil
		}
	}
	return nil, s.question(q, r.PrevKv), nil
}

// since checks where a question begins.
func (s *Snapshot) since(wire *kvpb.Position) (api.Position, error) {
	p := api.Position{Revision: wire.Revision, Sub: wire.Sub}
	if p.Revision < 0 || p.Sub < 0 || p.After(api.End(p.Revision)) {
		return p, api.Errorf(api.KindBadRequest, "since %v is no position: want REVISION.SUB, both from 0", p)
	}
	if p.Revision+1 < s.compacted {
		e := api.Errorf(api.KindCompacted, "the events after %v are compacted: list at a revision and watch from there; the compacted revision is %d", p, s.compacted)
		e.Compacted = s.compacted
		return p, e
	}
	return p, nil
}

func (s *Snapshot) answer(p Page) *kvpb.HistoryResponse {
	return &kvpb.HistoryResponse{
		Events: p.Events, Through: wire(p.Through), More: p.More,
		Compacted: s.compacted, Epoch: s.wireEpoch(),
	}
}

func (s *Snapshot) wireEpoch() *kvpb.Epoch {
	return &kvpb.Epoch{Term: s.grant.epoch.Term, N: s.grant.epoch.N}
}

// StoreQuestion is what a snapshot has to ask the storage nodes: any node first,
// then, if that one failed or is behind, the leader. A node that says compacted
// is believed.
type StoreQuestion struct {
	Request *kvpb.FeedRequest

	snapshot *Snapshot
	query    Query
}

func (s *Snapshot) question(q Query, prev bool) *StoreQuestion {
	r := &kvpb.FeedRequest{After: wire(q.Since), MaxBytes: int64(q.Bytes), WaitMillis: storeWaitMillis, PrevKv: prev}
	if !q.Range.everything() {
		r.Key, r.RangeEnd = q.Range.Key, q.Range.End
	}
	return &StoreQuestion{Request: r, snapshot: s, query: q}
}

// Behind tells that the answer of some node brings nothing.
func (q *StoreQuestion) Behind(answer *kvpb.FeedResponse) bool {
	return !positionFrom(answer.Through).After(q.query.Since)
}

// Answer makes the answer of a node's. The node may be ahead of what is
// published, or behind, which the page says by More.
func (q *StoreQuestion) Answer(answer *kvpb.FeedResponse) (*kvpb.HistoryResponse, error) {
	published, page, since := q.snapshot.view.Through(), Page{Through: q.query.Since}, q.query.Since
	if answer.Revision < since.Revision && published.Revision < since.Revision && wholeUpTo(since) != since {
		e := api.Errorf(api.KindFutureRevision, "since %v is inside a revision that does not exist yet", since)
		e.Revision = answer.Revision
		return nil, e
	}
	for _, e := range answer.Events {
		if !q.query.Range.Contains(e.GetKv().GetKey()) {
			continue
		}
		if len(page.Events) >= q.query.Limit {
			page.More = true
			return q.snapshot.answer(page), nil
		}
		page.Events = append(page.Events, e)
		page.Through = Reached(e)
	}
	through := positionFrom(answer.Through)
	if unfiltered := len(q.Request.Key) == 0 && !q.Request.PrevKv; unfiltered && len(answer.Events) == 0 && answer.Revision >= since.Revision {
		// All of the node's events were looked at, and none is after since.
		through = endOf(answer.Revision)
	}
	if through.After(page.Through) {
		page.Through = through
	}
	page.More = published.After(page.Through) || wholeUpTo(page.Through) != page.Through
	return q.snapshot.answer(page), nil
}

// wholeUpTo is a position itself if it is at the end of a revision, else the end
// of the revision before.
func wholeUpTo(p api.Position) api.Position {
	if p.After(api.Position{}) && p != api.End(p.Revision) {
		return api.End(p.Revision - 1)
	}
	return p
}

// endOf is the position up to which a store at a revision has everything.
func endOf(revision int64) api.Position {
	if revision == 0 {
		return api.Position{}
	}
	return api.End(revision)
}

func wire(p api.Position) *kvpb.Position {
	return &kvpb.Position{Revision: p.Revision, Sub: p.Sub}
}

func positionFrom(p *kvpb.Position) api.Position {
	return api.Position{Revision: p.GetRevision(), Sub: min(p.GetSub(), api.End(0).Sub)}
}
