package watchstate_test

import (
	"errors"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

func at(revision, sub int64) api.Position { return api.Position{Revision: revision, Sub: sub} }

func event(revision, sub int64) *kvpb.Event {
	return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("/a"), ModRevision: revision}, Sub: sub}
}

func live(n uint64, since api.Position, revision, sub int64, more bool) watchstate.Live {
	return watchstate.Live{Epoch: api.Epoch{Term: 1, N: n}, Event: event(revision, sub), Since: since, More: more}
}

func progress(n, sequence uint64, through int64) watchstate.Progress {
	return watchstate.Progress{Epoch: api.Epoch{Term: 1, N: n}, Sequence: sequence, Through: at(through, 0)}
}

// joined is a watch in epoch 1.2 that has everything up to revision 10 and whose
// progress is anchored at sequence 1.
func joined(t *testing.T) *watchstate.State {
	t.Helper()
	since := at(5, 0)
	s := watchstate.New(watchstate.Config{Since: &since})
	s.Progress(progress(2, 1, 10))
	answer(t, s, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 2}, Through: at(10, 0)})
	quiet(t, s)
	return s
}

func question(t *testing.T, s *watchstate.State) watchstate.Question {
	t.Helper()
	q, ok := s.Question()
	if !ok {
		t.Fatal("no question")
	}
	return q
}

func answer(t *testing.T, s *watchstate.State, a watchstate.Answer) {
	t.Helper()
	s.Answer(question(t, s), a)
}

func quiet(t *testing.T, s *watchstate.State) {
	t.Helper()
	if q, ok := s.Question(); ok {
		t.Fatalf("asks since %v", q.Since)
	}
}

// delivers takes all that is ready and compares the revisions.
func delivers(t *testing.T, s *watchstate.State, want ...int64) {
	t.Helper()
	for _, w := range want {
		if r, _ := s.Pop(); r.Revision != w {
			t.Fatalf("delivered revision %d, want %d", r.Revision, w)
		}
	}
	if r, ok := s.Pop(); ok {
		t.Fatalf("delivered revision %d, want nothing more", r.Revision)
	}
}

func TestRules(t *testing.T) {
	epoch := api.Epoch{Term: 1, N: 2}
	for name, rule := range map[string]func(t *testing.T, s *watchstate.State){
		"an event that follows is delivered": func(t *testing.T, s *watchstate.State) {
			s.Live(live(2, at(7, 0), 11, 0, false))
			delivers(t, s, 11)
			quiet(t, s)
		},
		"a duplicate is dropped": func(t *testing.T, s *watchstate.State) {
			s.Live(live(2, at(7, 0), 10, 0, false))
			delivers(t, s)
			quiet(t, s)
		},
		"a gap is asked for at once": func(t *testing.T, s *watchstate.State) {
			s.Live(live(2, at(11, 0), 12, 0, false))
			delivers(t, s)
			if q := question(t, s); *q.Since != at(10, 0) || q.Herd || q.Futile != 0 {
				t.Fatalf("question %+v", q)
			}
			answer(t, s, watchstate.Answer{Epoch: epoch, Events: []*kvpb.Event{event(11, 0)}, Through: at(11, 0)})
			delivers(t, s, 11, 12)
			quiet(t, s)
		},
		"a revision waits until it is whole": func(t *testing.T, s *watchstate.State) {
			s.Live(live(2, at(7, 0), 11, 0, true))
			delivers(t, s)
			if s.Through() != api.End(10) {
				t.Fatalf("through %v", s.Through())
			}
			s.Live(live(2, at(11, 0), 11, 3, false))
			delivers(t, s, 11)
		},
		"a page does not cut a revision": func(t *testing.T, s *watchstate.State) {
			s.Interrupted()
			answer(t, s, watchstate.Answer{Epoch: epoch, Events: []*kvpb.Event{event(11, 0)}, Through: at(11, 0), More: true})
			delivers(t, s)
			answer(t, s, watchstate.Answer{Epoch: epoch, Events: []*kvpb.Event{event(11, 1), event(12, 0)}, Through: at(12, 0), More: true})
			delivers(t, s, 11)
			answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(12, 0)})
			delivers(t, s, 12)
			quiet(t, s)
		},
		"a lower epoch is ignored": func(t *testing.T, s *watchstate.State) {
			s.Live(live(1, at(7, 0), 11, 0, false))
			s.Tail(watchstate.Tail{Epoch: api.Epoch{Term: 1, N: 1}, Through: at(20, 0)})
			s.Progress(progress(1, 7, 20))
			delivers(t, s)
			quiet(t, s)
		},
		"a higher epoch joins again": func(t *testing.T, s *watchstate.State) {
			s.Live(live(3, at(7, 0), 11, 0, false)) // no gap: no need to wait
			delivers(t, s, 11)
			if q := question(t, s); *q.Since != at(11, 0) || !q.Herd {
				t.Fatalf("question %+v", q)
			}
			answer(t, s, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 3}, Through: at(10, 0)})
			quiet(t, s)
		},
		"an answer of a lower epoch is no barrier": func(t *testing.T, s *watchstate.State) {
			s.Interrupted()
			answer(t, s, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 1}, Through: at(10, 0)})
			if q := question(t, s); q.Futile != 1 {
				t.Fatalf("question %+v", q)
			}
		},
		"an answer to a question before an interruption is no barrier": func(t *testing.T, s *watchstate.State) {
			s.Interrupted()
			q := question(t, s)
			s.Interrupted()
			s.Answer(q, watchstate.Answer{Epoch: epoch, Through: at(10, 0)})
			question(t, s)
		},
		"a tail shows a loss": func(t *testing.T, s *watchstate.State) {
			s.Tail(watchstate.Tail{Epoch: epoch, Through: at(10, 0)})
			quiet(t, s)
			s.Tail(watchstate.Tail{Epoch: epoch, Through: at(11, 0)})
			answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(10, 0)}) // from behind
			answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(11, 0)})
			quiet(t, s)
		},
		"progress moves on while idle": func(t *testing.T, s *watchstate.State) {
			s.Progress(progress(2, 2, 50))
			quiet(t, s)
			if s.Through() != at(50, 0) {
				t.Fatalf("through %v", s.Through())
			}
			s.Interrupted()
			if err := s.Compacted(question(t, s), 40); err != nil {
				t.Fatal(err)
			}
			if q := question(t, s); *q.Since != at(50, 0) {
				t.Fatalf("asks since %v", q.Since)
			}
		},
		"progress does not hide a gap": func(t *testing.T, s *watchstate.State) {
			s.Progress(progress(2, 2, 50))
			s.Live(live(2, at(45, 0), 51, 0, false))
			delivers(t, s)
			q := question(t, s)
			if *q.Since != at(10, 0) {
				t.Fatalf("asks since %v", q.Since)
			}
		},
		"a watch that stands past the compaction goes on": func(t *testing.T, s *watchstate.State) {
			s.Progress(progress(2, 2, 50))
			s.Live(live(2, at(45, 0), 60, 0, false)) // 45 is only a bound
			s.Tail(watchstate.Tail{Epoch: api.Epoch{Term: 1, N: 2}, Through: at(61, 0)})
			if err := s.Compacted(question(t, s), 51); err != nil {
				t.Fatal(err)
			}
			q := question(t, s)
			if *q.Since != at(50, 0) || s.Through() != at(50, 0) {
				t.Fatalf("asks since %v, through %v", q.Since, s.Through())
			}
			var e *api.Error
			if err := s.Compacted(q, 52); !errors.As(err, &e) || e.Kind != api.KindCompacted || e.Compacted != 52 {
				t.Fatalf("error %v", err)
			}
		},
		"an event that progress had passed takes its word away": func(t *testing.T, s *watchstate.State) {
			s.Progress(progress(2, 2, 50))
			s.Live(live(2, at(40, 0), 45, 0, false))
			if err := s.Compacted(question(t, s), 50); api.KindOf(err) != api.KindCompacted {
				t.Fatalf("error %v", err)
			}
		},
		"a missing progress message is asked about later": func(t *testing.T, s *watchstate.State) {
			s.Progress(progress(2, 3, 50))
			if q := question(t, s); !q.Herd || s.Through() != at(10, 0) {
				t.Fatalf("question %+v, through %v", q, s.Through())
			}
		},
		"progress past an unfinished revision shows a loss": func(t *testing.T, s *watchstate.State) {
			s.Live(live(2, at(7, 0), 11, 0, true))
			s.Progress(progress(2, 2, 11))
			quiet(t, s)
			s.Progress(progress(2, 3, 12))
			question(t, s)
		},
		"progress that is not anchored moves nothing": func(t *testing.T, s *watchstate.State) {
			s.Interrupted()
			answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(10, 0)})
			s.Progress(progress(2, 5, 20))
			s.Progress(progress(2, 6, 30))
			if s.Through() != at(10, 0) {
				t.Fatalf("through %v", s.Through())
			}
			answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(31, 0)})
			s.Progress(progress(2, 7, 40))
			if s.Through() != at(40, 0) {
				t.Fatalf("through %v", s.Through())
			}
		},
		"what is compacted ends the watch": func(t *testing.T, s *watchstate.State) {
			s.Interrupted()
			if err := s.Compacted(question(t, s), 12); api.KindOf(err) != api.KindCompacted {
				t.Fatalf("error %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { rule(t, joined(t)) })
	}
}

func TestFromNowOn(t *testing.T) {
	s := watchstate.New(watchstate.Config{})
	s.Live(live(1, at(0, 0), 8, 0, false))
	s.Live(live(1, at(8, 0), 9, 0, false))
	s.Live(live(1, at(9, 0), 10, 0, false))
	q := question(t, s)
	if q.Since != nil {
		t.Fatalf("asks since %v", q.Since)
	}
	s.Answer(q, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 1}, Through: at(9, 0)})
	delivers(t, s, 10)
}

func TestFromTheFuture(t *testing.T) {
	since := api.End(19)
	s := watchstate.New(watchstate.Config{Since: &since})
	answer(t, s, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 1}, Through: at(9, 0)})
	quiet(t, s)
	s.Live(live(1, at(9, 0), 19, 0, false))
	s.Live(live(1, at(19, 0), 20, 0, false))
	delivers(t, s, 20)
}

// TestFilter: keys of the scope outside the range move the position and are not
// delivered.
func TestFilter(t *testing.T) {
	since := at(5, 0)
	s := watchstate.New(watchstate.Config{Since: &since, Match: func(k []byte) bool { return string(k) == "/b" }})
	answer(t, s, watchstate.Answer{Epoch: api.Epoch{Term: 1, N: 1}, Through: at(5, 0)})
	s.Live(live(1, at(5, 0), 6, 0, true))
	l := live(1, at(6, 0), 6, 1, false)
	l.Event.Kv.Key = []byte("/b")
	s.Live(l)
	r, _ := s.Pop()
	if r.Revision != 6 || len(r.Events) != 1 {
		t.Fatalf("delivered %+v", r)
	}
	quiet(t, s)
}

// TestSlowReader: past the limit events are let go, not kept, and come back.
func TestSlowReader(t *testing.T) {
	since := at(1, 0)
	s := watchstate.New(watchstate.Config{Since: &since, Limits: watchstate.Limits{ReadyBytes: 1000, BufferBytes: 1000}})
	epoch := api.Epoch{Term: 1, N: 1}
	answer(t, s, watchstate.Answer{Epoch: epoch, Through: at(1, 0)})
	for r := int64(2); r < 100; r++ {
		s.Live(live(1, at(r-1, 0), r, 0, false))
	}
	quiet(t, s) // a full reader asks for nothing
	last := int64(1)
	for {
		r, ok := s.Pop()
		if !ok {
			break
		}
		if last++; r.Revision != last {
			t.Fatalf("revision %d, want %d", r.Revision, last)
		}
	}
	if last > 10 {
		t.Fatalf("kept up to revision %d", last)
	}
	if q := question(t, s); *q.Since != at(last, 0) {
		t.Fatalf("asks since %v, has %d", q.Since, last)
	}
}

// A watch that begins inside a revision never says that it stands before that.
func TestThroughInsideARevision(t *testing.T) {
	since := api.Position{Revision: 5, Sub: 3}
	s := watchstate.New(watchstate.Config{Since: &since})
	q, _ := s.Question()
	s.Answer(q, watchstate.Answer{Through: since, More: true})
	q, _ = s.Question()
	event := func(sub int64, last bool) *kvpb.Event {
		return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("/a"), ModRevision: 5}, Sub: sub, Last: last}
	}
	s.Answer(q, watchstate.Answer{Events: []*kvpb.Event{event(5, false)}, Through: api.Position{Revision: 5, Sub: 5}, More: true})
	if got := s.Through(); since.After(got) {
		t.Errorf("with a part of the revision it stands at %v", got)
	}
	q, _ = s.Question()
	s.Answer(q, watchstate.Answer{Events: []*kvpb.Event{event(6, true)}, Through: api.End(5)})
	if got := s.Through(); since.After(got) {
		t.Errorf("with the whole revision it stands at %v", got)
	}
	if r, ok := s.Pop(); !ok || len(r.Events) != 2 || s.Through() != api.End(5) {
		t.Errorf("gives %v and stands at %v", r, s.Through())
	}
}
