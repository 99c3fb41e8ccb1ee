package feedstate_test

import (
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed/feedstate"
)

func no(int64) int64 { return 0 }

// What continues what is tested through package feed, whom it asks when is here.
func TestQuestions(t *testing.T) {
	s := feedstate.New(api.End(3))
	q := s.Next(no)
	if !q.Leader || q.Pause != 0 || q.Request.After.Revision != 3 {
		t.Errorf("first asks %+v", q)
	}
	s.Failed(true)
	if other := s.Next(no); other.Leader || other.Pause != 0 || other.Patience <= q.Patience {
		t.Errorf("after the leader was late asks %+v", other)
	}
	s.Failed(false)
	var last time.Duration
	for range 20 {
		q = s.Next(no)
		if !q.Leader || q.Pause == 0 || q.Pause < last {
			t.Errorf("after nobody answered asks %+v, paused %v before", q, last)
		}
		last = q.Pause
		s.Failed(false)
		if q = s.Next(no); q.Leader || q.Pause != 0 {
			t.Errorf("asks %+v next", q)
		}
		s.Failed(false)
	}
	if !s.Lost() || last > time.Second {
		t.Errorf("lost %v, pauses %v", s.Lost(), last)
	}
	s.Next(no)
	if err := s.Take(&kvpb.FeedResponse{Through: &kvpb.Position{Revision: 2}}, time.Second); err != nil {
		t.Error(err)
	}
	if q = s.Next(no); !q.Leader || q.Pause != 0 || s.Lost() || q.Request.After.Revision != 3 {
		t.Errorf("after the page of a node that lags asks %+v", q)
	}
	if err := s.Take(&kvpb.FeedResponse{}, 0); err != nil {
		t.Error(err)
	}
	if q = s.Next(no); q.Pause == 0 {
		t.Error("does not spare a node that answers nothing at once")
	}
}
