package recent

import (
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func event(revision, sub int64) *kvpb.Event {
	return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("k"), ModRevision: revision}, Sub: sub}
}

const bytesMax = 1 << 16

func TestPage(t *testing.T) {
	r := New(10, 0, bytesMax)
	if r.Add(nil, 10, 0) {
		t.Error("nothing new is a change")
	}
	if !r.Add([]*kvpb.Event{event(11, 0), event(11, 1), event(12, 0)}, 12, 4) || !r.Add(nil, 12, 5) {
		t.Error("events or a compaction are no change")
	}
	if _, ok := r.page(api.End(9), 1<<20); ok {
		t.Error("it claims to know what was before it")
	}
	if _, ok := r.page(api.Position{Revision: 10, Sub: 3}, 1<<20); ok {
		t.Error("it claims to know the rest of the revision that it begins with")
	}
	resp, ok := r.page(api.End(10), 1<<20)
	if !ok || len(resp.Events) != 3 || resp.Through.Revision != 12 || resp.Revision != 12 || resp.Compacted != 5 {
		t.Errorf("from its beginning: %v %v", resp, ok)
	}
	resp, _ = r.page(api.Position{Revision: 11, Sub: 0}, 1<<20)
	if len(resp.Events) != 2 || resp.Events[0].Sub != 1 {
		t.Errorf("from inside a revision: %v", resp)
	}
	resp, _ = r.page(api.End(10), 1)
	if len(resp.Events) != 1 || resp.Through.Revision != 11 || resp.Through.Sub != 0 {
		t.Errorf("a small page: %v", resp)
	}
	for rev := int64(13); rev < 17; rev++ {
		e := event(rev, 0)
		e.Kv.Value = make([]byte, bytesMax/2)
		r.Add([]*kvpb.Event{e}, rev, 4)
	}
	if r.bytes > bytesMax {
		t.Errorf("it holds %d bytes", r.bytes)
	}
	if _, ok := r.page(api.End(14), 1<<20); ok {
		t.Error("it claims to know what it has dropped")
	}
	if _, ok := r.page(api.Position{Revision: 15, Sub: 0}, 1<<20); ok {
		t.Error("it claims to know the rest of a revision that it has dropped")
	}
	if resp, ok := r.page(api.End(15), 1<<30); !ok || len(resp.Events) != 1 {
		t.Errorf("what it kept: %v %v", resp, ok)
	}
	r.Reset(20, 4)
	if _, ok := r.page(api.End(16), 1<<20); ok {
		t.Error("it claims to know what happened in another state")
	}
}

func TestPoll(t *testing.T) {
	r := New(10, 3, bytesMax)
	after := func(revision int64) *kvpb.FeedRequest {
		return &kvpb.FeedRequest{After: &kvpb.Position{Revision: revision, Sub: api.End(revision).Sub}, WaitMillis: 100}
	}
	p := NewPoll(after(10))
	look := func(what string, timeUp bool, want Next) *kvpb.FeedResponse {
		t.Helper()
		answer, next := p.Look(r, timeUp)
		if next != want {
			t.Errorf("%s: %v, want %v", what, next, want)
		}
		return answer
	}
	look("nothing new", false, Wait)
	look("nothing new", false, Wait)
	if a := look("time is up", true, Send); len(a.GetEvents()) != 0 {
		t.Errorf("answers %v", a)
	}
	r.Add(nil, 10, 5)
	if a := look("a compaction", false, Send); a.GetCompacted() != 5 {
		t.Errorf("answers %v", a)
	}
	p = NewPoll(after(10))
	look("a compaction before", false, Wait)
	r.Add([]*kvpb.Event{event(11, 0)}, 11, 5)
	look("an event", false, Send)
	p = NewPoll(after(9))
	look("older ones", false, Read)
	p = NewPoll(&kvpb.FeedRequest{After: after(11).After, Key: []byte("k")})
	look("a range", false, Read)
	p = NewPoll(&kvpb.FeedRequest{After: after(11).After, PrevKv: true})
	look("states before", false, Read)
}
