package fanout_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// publishing is a replica that has published revisions 5 and 6.
func publishing(t *testing.T) *fanout.Replica {
	t.Helper()
	r := fanout.NewReplica("w", fanout.Limits{})
	r.Begin(api.End(4))
	r.Answered(0, &kvpb.GrantResponse{Granted: true, Epoch: &kvpb.Epoch{Term: 1, N: 1}, ForMillis: 500}, false)
	if holding, changed := r.Settle(1); !holding || !changed {
		t.Fatal("it does not publish")
	}
	r.Page(&kvpb.FeedResponse{Compacted: 3, Through: &kvpb.Position{Revision: 6, Sub: 1}, Events: []*kvpb.Event{
		put("/a", 5, 0, true), put("/a", 6, 0, false), put("/b", 6, 1, true)}})
	for r.Waiting() {
		r.Publish(1)
		r.Done()
	}
	return r
}

// A question from inside a revision that is not published goes to the store: it
// may come from a node that was ahead. Where the store has no such revision
// either, the answer is not `more`, for ever.
func TestFromInsideTheFuture(t *testing.T) {
	s := publishing(t).Snapshot()
	for name, c := range map[string]struct {
		since api.Position
		store bool
	}{
		"published":          {api.End(4), false},
		"inside a published": {api.Position{Revision: 6}, false},
		"the end":            {api.End(6), false},
		"a later revision":   {api.End(9), false},
		"inside a later one": {api.Position{Revision: 9, Sub: 2}, true},
		"before the window":  {api.End(3), true},
	} {
		wire := &kvpb.Position{Revision: c.since.Revision, Sub: c.since.Sub}
		answer, question, err := s.History(&kvpb.HistoryRequest{Since: wire}, fanout.Range{}, 1<<20)
		if err != nil || (question != nil) != c.store || !c.store && answer.More {
			t.Errorf("%s: %v, asks the store %v, %v", name, answer, question != nil, err)
		}
	}
	_, question, _ := s.History(&kvpb.HistoryRequest{Since: &kvpb.Position{Revision: 9, Sub: 2}}, fanout.Range{}, 1<<20)
	_, err := question.Answer(&kvpb.FeedResponse{Through: question.Request.After, Revision: 8})
	if api.KindOf(err) != api.KindFutureRevision {
		t.Errorf("from inside a revision that does not exist: %v", err)
	}
	answer, err := question.Answer(&kvpb.FeedResponse{Through: &kvpb.Position{Revision: 9, Sub: api.End(9).Sub}, Revision: 9, Events: []*kvpb.Event{put("/c", 9, 3, true)}})
	if err != nil || len(answer.Events) != 1 || answer.More {
		t.Errorf("from inside one that is not published: %v, %v", answer, err)
	}
}

// An answer that took long is sent only in the epoch that it was made in.
func TestSpeaks(t *testing.T) {
	r := publishing(t)
	s := r.Snapshot()
	if !s.Speaks(r.Snapshot(), 1) || s.Speaks(r.Snapshot(), 500e6) {
		t.Error("it does not go by the grant")
	}
	r.Answered(300e6, &kvpb.GrantResponse{Granted: true, Epoch: &kvpb.Epoch{Term: 1, N: 2}, ForMillis: 500}, false)
	if s.Speaks(r.Snapshot(), 400e6) {
		t.Error("it speaks in another epoch")
	}
}

// One request for the grant is under way at a time, and a late answer gets more
// time.
func TestAsk(t *testing.T) {
	r := fanout.NewReplica("w", fanout.Limits{})
	r.Begin(api.Position{})
	request, patience := r.Ask(1)
	if again, _ := r.Ask(2); request == nil || again != nil {
		t.Errorf("asks %v and then %v", request, again)
	}
	r.Answered(1, nil, true)
	if _, longer := r.Ask(3); longer <= patience {
		t.Errorf("waits %v after %v was too short", longer, patience)
	}
}
