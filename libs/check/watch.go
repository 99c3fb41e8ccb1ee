package check

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Watches holds what watches delivered against all events that were committed.
// compactions are the revisions at which the store was compacted.
//
// Of each watch it demands, for its range and from where it began:
//   - filter: nothing outside the range;
//   - order, unique, reliable: every event, once, in order, with nothing left
//     out, and with the content that was committed: also that a put creates
//     exactly where the key did not exist, and the state before where it is given;
//   - atomic: a step is the whole of one revision;
//   - bookmarks: Through never goes back and never passes an event of the range
//     that was not delivered, nor stays behind one that was. So a watch that is
//     begun anew there neither misses nor repeats anything;
//   - a watch that is told of a compaction is told the truth: it was at that
//     revision, and took events after the last Through;
//   - a watch that was given time reached the end.
func Watches(events []*kvpb.Event, compactions []int64, watches []Watch) error {
	all := &truth{events: events, before: make([]int, len(events)), compactions: compactions}
	last := make(map[string]int, 64)
	for i, e := range events {
		if i > 0 && !positionOf(e).After(positionOf(events[i-1])) {
			return fmt.Errorf("the history is out of order: %v after %v", positionOf(e), positionOf(events[i-1]))
		}
		key := string(e.GetKv().GetKey())
		all.before[i] = -1
		if j, ok := last[key]; ok {
			all.before[i] = j
		}
		last[key] = i
	}
	for i := range watches {
		if err := all.watch(&watches[i]); err != nil {
			return fmt.Errorf("watch %s of [%q, %q): %w", watches[i].Name, watches[i].Key, watches[i].End, err)
		}
	}
	return nil
}

// truth is what was committed.
type truth struct {
	events      []*kvpb.Event
	before      []int // of each event, that of the same key before it, or -1
	compactions []int64
}

// watch judges one watch. next is the first event that it has yet to deliver.
func (t *truth) watch(w *Watch) error {
	steps := w.Steps
	var through api.Position
	switch {
	case w.Since != nil:
		through = *w.Since
	case len(steps) == 0:
		if w.Ended {
			return fmt.Errorf("it never learned where it begins")
		}
		return nil
	case len(steps[0].Events) > 0:
		return fmt.Errorf("it delivers revision %d before it says where it begins", steps[0].Revision)
	default:
		through = steps[0].Through
	}
	next := t.find(w, t.after(through))
	for i := range steps {
		s := &steps[i]
		var err error
		if next, err = t.step(w, s, next); err == nil {
			err = t.bookmark(s, through, next)
		}
		if err != nil {
			return fmt.Errorf("step %d, at %d ns: %w", i, s.At, err)
		}
		through = s.Through
	}
	if w.Compacted != 0 {
		return t.compacted(w, through)
	}
	if !w.Ended {
		return nil
	}
	if next < len(t.events) {
		return fmt.Errorf("the event at %v of %q was never delivered; the watch stands at %v", positionOf(t.events[next]), t.events[next].GetKv().GetKey(), through)
	}
	if n := len(t.events); n > 0 && positionOf(t.events[n-1]).After(through) {
		return fmt.Errorf("it was given time and stands at %v, the history ends at %v", through, positionOf(t.events[n-1]))
	}
	return nil
}

// step takes the events of a step and returns what is next.
func (t *truth) step(w *Watch, s *Step, next int) (int, error) {
	for _, e := range s.Events {
		at := positionOf(e)
		if at.Revision != s.Revision {
			return next, fmt.Errorf("revision %d comes with an event at %v", s.Revision, at)
		}
		if !w.contains(e.GetKv().GetKey()) {
			return next, fmt.Errorf("the event at %v is of %q, which is not watched", at, e.GetKv().GetKey())
		}
		switch {
		case next == len(t.events) || positionOf(t.events[next]).After(at):
			return next, t.surplus(e)
		case at.After(positionOf(t.events[next])):
			return next, fmt.Errorf("the event at %v comes next, but that at %v of %q was not delivered", at, positionOf(t.events[next]), t.events[next].GetKv().GetKey())
		}
		if err := t.content(e, next); err != nil {
			return next, err
		}
		next = t.find(w, next+1)
	}
	if len(s.Events) > 0 && next < len(t.events) && t.events[next].GetKv().GetModRevision() == s.Revision {
		return next, fmt.Errorf("revision %d is torn: it was delivered without the event at %v", s.Revision, positionOf(t.events[next]))
	}
	return next, nil
}

// surplus says why an event should not have come.
func (t *truth) surplus(e *kvpb.Event) error {
	at := positionOf(e)
	if i := t.after(at) - 1; i >= 0 && positionOf(t.events[i]) == at {
		return fmt.Errorf("the event at %v is delivered, which was already, or is from before the beginning", at)
	}
	return fmt.Errorf("the event at %v of %q was never committed", at, e.GetKv().GetKey())
}

// content compares an event with the one that was committed.
func (t *truth) content(e *kvpb.Event, i int) error {
	want := t.events[i]
	if !sameState(e.GetKv(), want.GetKv()) || e.GetType() != want.GetType() || e.GetExpired() != want.GetExpired() {
		return fmt.Errorf("the event at %v is %v, committed was %v", positionOf(e), e, want)
	}
	var prev *kvpb.KeyValue
	if j := t.before[i]; j >= 0 && t.events[j].GetType() == kvpb.Event_PUT {
		prev = t.events[j].GetKv()
	}
	created := want.GetType() == kvpb.Event_PUT && want.GetKv().GetCreateRevision() == want.GetKv().GetModRevision()
	if created != (prev == nil && want.GetType() == kvpb.Event_PUT) {
		return fmt.Errorf("the event at %v says that it creates %q: %v; the state before was %v", positionOf(e), e.GetKv().GetKey(), created, prev)
	}
	if e.PrevKv != nil && (prev == nil || !sameState(e.PrevKv, prev)) {
		return fmt.Errorf("the event at %v gives %v as the state before, which was %v", positionOf(e), e.PrevKv, prev)
	}
	return nil
}

// bookmark holds a step's Through against what was delivered by then.
func (t *truth) bookmark(s *Step, before api.Position, next int) error {
	if before.After(s.Through) {
		return fmt.Errorf("through goes back from %v to %v", before, s.Through)
	}
	if n := len(s.Events); n > 0 && positionOf(s.Events[n-1]).After(s.Through) {
		return fmt.Errorf("the event at %v was delivered, but through says %v: resumed there it would come again", positionOf(s.Events[n-1]), s.Through)
	}
	if next < len(t.events) && !positionOf(t.events[next]).After(s.Through) {
		return fmt.Errorf("through says %v, but the event at %v of %q was not delivered", s.Through, positionOf(t.events[next]), t.events[next].GetKv().GetKey())
	}
	return nil
}

// compacted: a revision that followed where the watch stood is gone; the first of
// a store has no events.
func (t *truth) compacted(w *Watch, through api.Position) error {
	if !slices.Contains(t.compactions, w.Compacted) {
		return fmt.Errorf("it ended because of a compaction at %d, which never was", w.Compacted)
	}
	if !api.End(w.Compacted - 1).After(through) {
		return fmt.Errorf("it stood at %v and ended because of the compaction at %d, which took nothing from it", through, w.Compacted)
	}
	return nil
}

// after is the index of the first event after a position.
func (t *truth) after(p api.Position) int {
	return sort.Search(len(t.events), func(i int) bool { return positionOf(t.events[i]).After(p) })
}

// find is the index of the first event of the watch's range from i on.
func (t *truth) find(w *Watch, i int) int {
	for i < len(t.events) && !w.contains(t.events[i].GetKv().GetKey()) {
		i++
	}
	return i
}

func (w *Watch) contains(key []byte) bool {
	switch {
	case len(w.End) == 0:
		return bytes.Equal(key, w.Key)
	case bytes.Compare(key, w.Key) < 0:
		return false
	}
	return len(w.End) == 1 && w.End[0] == 0 || bytes.Compare(key, w.End) < 0
}

func positionOf(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
}

func sameState(a, b *kvpb.KeyValue) bool {
	return bytes.Equal(a.GetKey(), b.GetKey()) && bytes.Equal(a.GetValue(), b.GetValue()) &&
		a.GetCreateRevision() == b.GetCreateRevision() && a.GetModRevision() == b.GetModRevision() &&
		a.GetVersion() == b.GetVersion() && a.GetLease() == b.GetLease() && a.GetTtlMillis() == b.GetTtlMillis()
}
