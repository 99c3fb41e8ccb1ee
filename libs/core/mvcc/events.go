package mvcc

import (
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// EventQuery asks for the events of a range after a position.
type EventQuery struct {
	After api.Position // exclusive
	// The range as in a kvpb.RangeRequest; both empty: every key.
	Key, RangeEnd []byte
	Limit         int  // events; 0: the machine's own limit, which bounds any other
	MaxBytes      int  // of keys and values, at least one event is given; 0: api.MaxAnswerBytes
	PrevKV        bool // give the state before, except of the compacted revision's events
}

// EventPage answers an EventQuery.
type EventPage struct {
	// Events are in the order of their positions, the last ones of a revision
	// possibly left to the next page.
	Events []*kvpb.Event
	// Through: every event of the range up to here was given, or was at or
	// before After. It is the end of a revision where nothing of it follows.
	// It moves on even where nothing matches.
	Through api.Position
	// More: ask again after Through at once, rather than wait for new revisions.
	More bool
}

// Events answers from the change records, within bounds on what one call looks
// at. Where events after q.After may have been compacted it fails with
// compacted; from the compacted revision on every event can be had.
func (p *Published) Events(q EventQuery) (*EventPage, error) {
	if q.After.Revision < 0 || q.After.Sub < 0 || q.Limit < 0 || q.MaxBytes < 0 {
		return nil, api.Errorf(api.KindBadRequest, "position %v, limit %d or max bytes %d is negative", q.After, q.Limit, q.MaxBytes)
	}
	q.After.Sub = min(q.After.Sub, api.End(0).Sub)
	p, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	if err := p.reachable(view, q.After); err != nil {
		return nil, err
	}
	if q.Limit == 0 || q.Limit > eventPageMax {
		q.Limit = eventPageMax
	}
	if q.MaxBytes == 0 {
		q.MaxBytes = api.MaxAnswerBytes
	}
	s := eventScan{p: p, q: q, page: &EventPage{Through: q.After}}
	if err := s.run(view); err != nil {
		return nil, err
	}
	if end := api.End(p.Revision); !s.page.More && end.After(s.page.Through) {
		s.page.Through = end
	}
	return s.page, nil
}

// reachable refuses positions after which events may be missing. The changes of
// the revision before the compacted one are kept to tell whether a position
// inside it was its last.
func (p *Published) reachable(view store.View, after api.Position) error {
	if after.Revision >= p.Compacted {
		return nil
	}
	if after.Revision == p.Compacted-1 {
		next, err := findChange(view, api.Position{Revision: after.Revision, Sub: after.Sub + 1})
		if next == nil {
			return err
		}
	}
	return errCompacted(after.Revision+1, p.Compacted)
}

// eventScan gathers one page.
type eventScan struct {
	p     *Published
	q     EventQuery
	page  *EventPage
	seen  int // changes looked at
	bytes int
}

func (s *eventScan) run(view store.View) error {
	after := s.q.After
	if after.Revision > s.p.Revision {
		return nil
	}
	from := int((after.Sub + 1) / blockChanges)
	it := view.Scan(appendChangeKey(nil, after.Revision, from), appendChangeKey(nil, s.p.Revision+1, 0), false)
	defer it.Close()
	// The record that must come: the first one may have the rest of a revision.
	next, block := max(after.Revision+1, 2), 0
	for first := true; !s.page.More && it.Next(); first = false {
		r, err := changeRecordAt(it)
		if err != nil {
			return err
		}
		if (r.first != next || r.block != block) && !(first && r.first <= after.Revision && r.block <= from) {
			return errMissingChanges(next, block)
		}
		if err := s.record(&r); err != nil {
			return err
		}
		if next, block = r.last+1, 0; !r.complete {
			next, block = r.last, r.block+1
		}
	}
	if err := it.Err(); err != nil || s.page.More || next > s.p.Revision {
		return err
	}
	return errMissingChanges(next, block)
}

func errMissingChanges(revision int64, block int) error {
	return fmt.Errorf("%w: block %d of the changes of revision %d is missing", store.ErrCorrupt, block, revision)
}

func (s *eventScan) record(r *changeRecord) error {
	var values valueReader
	defer func() { values.close() }()
	for {
		if ok, err := r.next(); err != nil || !ok {
			return err
		}
		if !r.at.After(s.q.After) {
			continue
		}
		if s.seen++; s.seen > s.p.m.limits.events {
			s.page.More = true
			return nil
		}
		if mutant.Is(mutant.SkipCompactedDeletes) && r.deleted && r.at.Revision == s.p.Compacted {
			continue
		}
		if s.matches(r.key) {
			if values.revision != r.at.Revision {
				values.close()
				values = valueReader{p: s.p, revision: r.at.Revision, ts: r.ts}
			}
			e, err := values.event(&r.change, s.q.PrevKV)
			if err != nil {
				return err
			}
			e.Sub, e.Last = r.at.Sub, r.end
			if !s.add(e) {
				return nil
			}
		}
		if s.page.Through = r.at; r.end {
			s.page.Through = api.End(r.at.Revision)
		}
	}
}

func (s *eventScan) matches(key []byte) bool {
	return len(s.q.Key) == 0 && len(s.q.RangeEnd) == 0 || contains(s.q.Key, s.q.RangeEnd, key)
}

// add gives an event, or says that it must wait for the next page.
func (s *eventScan) add(e *kvpb.Event) bool {
	size := len(e.Kv.Key) + len(e.Kv.Value) + kvOverheadBytes
	if e.PrevKv != nil {
		size += len(e.PrevKv.Key) + len(e.PrevKv.Value) + kvOverheadBytes
	}
	if n := len(s.page.Events); n >= s.q.Limit || n > 0 && s.bytes+size > s.q.MaxBytes {
		s.page.More = true
		return false
	}
	s.bytes += size
	s.page.Events = append(s.page.Events, e)
	return true
}

// valueReader reads the states before and after the changes of one revision.
type valueReader struct {
	p             *Published
	revision      int64
	ts            store.TS
	before, after *source // opened when needed
}

func (v *valueReader) close() {
	for _, src := range [...]*source{v.before, v.after} {
		if src != nil {
			src.view.Close()
		}
	}
}

func (v *valueReader) event(c *change, prevKV bool) (*kvpb.Event, error) {
	e := &kvpb.Event{Type: kvpb.Event_DELETE, Expired: c.expired, Kv: &kvpb.KeyValue{Key: append([]byte(nil), c.key...), ModRevision: v.revision}}
	var err error
	if !c.deleted {
		e.Type = kvpb.Event_PUT
		if e.Kv, err = v.read(&v.after, v.ts, c.key); err != nil {
			return nil, err
		}
		if e.Kv == nil || e.Kv.ModRevision != v.revision {
			return nil, fmt.Errorf("%w: the change record of revision %d does not match key %q", store.ErrCorrupt, v.revision, c.key)
		}
	}
	// The state before the compacted revision is gone, or may be.
	if prevKV && v.revision > v.p.Compacted {
		before := v.ts - 1
		if mutant.Is(mutant.PrevFromEntry) {
			before = store.EndOf(v.ts.Index() - 1)
		}
		e.PrevKv, err = v.read(&v.before, before, c.key)
	}
	return e, err
}

// read is the key's state as of ts, nil where it does not exist.
func (v *valueReader) read(src **source, ts store.TS, key []byte) (*kvpb.KeyValue, error) {
	if *src == nil {
		view, err := v.p.m.st.Read(ts)
		if errors.Is(err, store.ErrDiscarded) {
			return nil, errCompacted(v.revision, v.p.m.Published().Compacted)
		} else if err != nil {
			return nil, err
		}
		*src = &source{view: view}
	}
	rec, found, err := (*src).get(key)
	if err != nil || !found {
		return nil, err
	}
	return (*src).keyValue(key, &rec, true)
}
