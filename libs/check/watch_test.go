package check_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
)

// The history of the tests: revision 2 creates /a and /b, 3 changes /a, 4 is of
// another range, 5 deletes /a and /b, 6 creates /a again.
func committed() []*kvpb.Event {
	put := func(key string, revision, sub, create, version int64, last bool) *kvpb.Event {
		return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte(key), Value: []byte("v"), ModRevision: revision,
			CreateRevision: create, Version: version}, Sub: sub, Last: last}
	}
	gone := func(key string, revision, sub int64, last bool) *kvpb.Event {
		return &kvpb.Event{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte(key), ModRevision: revision}, Sub: sub, Last: last}
	}
	return []*kvpb.Event{
		put("/a", 2, 0, 2, 1, false), put("/b", 2, 1, 2, 1, true),
		put("/a", 3, 0, 2, 2, true),
		put("x", 4, 0, 4, 1, true),
		gone("/a", 5, 0, false), gone("/b", 5, 1, true),
		put("/a", 6, 0, 6, 1, true),
	}
}

// rightWatch is a watch of everything below "/" from the beginning. Its steps
// have copies of the events, free to be changed.
func rightWatch() *check.Watch {
	all := committed()
	w := &check.Watch{Name: "w", Key: []byte("/"), End: []byte("0"), Since: &api.Position{}, Ended: true}
	step := func(events ...int) {
		s := check.Step{Revision: all[events[0]].Kv.ModRevision}
		for _, i := range events {
			s.Events = append(s.Events, proto.Clone(all[i]).(*kvpb.Event))
		}
		s.Through = api.End(s.Revision)
		w.Steps = append(w.Steps, s)
	}
	step(0, 1)
	step(2)
	w.Steps = append(w.Steps, check.Step{Through: api.End(4)})
	step(4, 5)
	step(6)
	return w
}

func TestWatchesRight(t *testing.T) {
	for name, change := range map[string]func(w *check.Watch){
		"as it was": func(*check.Watch) {},
		"one key": func(w *check.Watch) {
			w.Key, w.End = []byte("/b"), nil
			w.Steps = append(w.Steps[:0:0], check.Step{Revision: 2, Events: w.Steps[0].Events[1:], Through: api.Position{Revision: 2, Sub: 1}},
				check.Step{Revision: 5, Events: w.Steps[3].Events[1:], Through: api.End(6), Resumed: true})
		},
		"from now on": func(w *check.Watch) {
			w.Since = nil
			w.Steps = append([]check.Step{{Through: api.End(4)}}, w.Steps[3:]...)
		},
		"from the future": func(w *check.Watch) {
			w.Since = &api.Position{Revision: 5, Sub: 7}
			w.Steps = w.Steps[4:]
		},
		"inside a revision": func(w *check.Watch) {
			w.Since = &api.Position{Revision: 5}
			w.Steps = w.Steps[3:]
			w.Steps[0].Events = w.Steps[0].Events[1:]
		},
		"never joined": func(w *check.Watch) { w.Since, w.Steps, w.Ended = nil, nil, false },
		"compacted":    func(w *check.Watch) { w.Steps, w.Ended, w.Compacted = w.Steps[:1], false, 4 },
		// The first revision of a store has no events, and is gone with the rest.
		"compacted at the begin": func(w *check.Watch) {
			w.Since, w.Steps, w.Ended, w.Compacted = &api.Position{}, nil, false, 2
		},
		"states before": func(w *check.Watch) {
			w.Steps[1].Events[0].PrevKv = committed()[0].Kv
			w.Steps[3].Events[0].PrevKv = committed()[2].Kv
		},
	} {
		w := rightWatch()
		change(w)
		if err := check.Watches(committed(), []int64{2, 4}, []check.Watch{*w}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWatchesWrong(t *testing.T) {
	event := func(w *check.Watch) *kvpb.Event { return w.Steps[1].Events[0] }
	for name, c := range map[string]struct {
		change func(w *check.Watch)
		says   string
	}{
		"lost":                {func(w *check.Watch) { w.Steps = append(w.Steps[:1], w.Steps[2:]...) }, "was not delivered"},
		"lost at the end":     {func(w *check.Watch) { w.Steps = w.Steps[:4] }, "never delivered"},
		"lost on resume":      {func(w *check.Watch) { w.Steps = append(w.Steps[:2], w.Steps[4]); w.Steps[2].Resumed = true }, "was not delivered"},
		"repeated":            {func(w *check.Watch) { w.Steps = append(w.Steps, w.Steps[4]) }, "already"},
		"repeated on resume":  {func(w *check.Watch) { s := w.Steps[4]; s.Resumed = true; w.Steps = append(w.Steps, s) }, "already"},
		"order":               {func(w *check.Watch) { w.Steps[0], w.Steps[1] = w.Steps[1], w.Steps[0] }, "was not delivered"},
		"order in a revision": {func(w *check.Watch) { e := w.Steps[0].Events; e[0], e[1] = e[1], e[0] }, "was not delivered"},
		"torn":                {func(w *check.Watch) { w.Steps[0].Events = w.Steps[0].Events[:1] }, "torn"},
		"torn in two": {func(w *check.Watch) {
			s := w.Steps[0]
			s.Events, w.Steps[0].Events = s.Events[1:], s.Events[:1]
			w.Steps = append([]check.Step{w.Steps[0], s}, w.Steps[1:]...)
		}, "torn"},
		"two revisions in one": {func(w *check.Watch) { w.Steps[0].Events = append(w.Steps[0].Events, event(w)) }, "comes with an event"},
		"filter": {func(w *check.Watch) {
			w.Steps[2] = check.Step{Revision: 4, Events: committed()[3:4], Through: api.End(4)}
		}, "not watched"},
		"invented":         {func(w *check.Watch) { event(w).Sub = 1 }, "was not delivered"},
		"invented between": {func(w *check.Watch) { w.Steps[4].Events[0].Kv.ModRevision, w.Steps[4].Revision = 7, 7 }, "was not delivered"},
		"invented at the end": {func(w *check.Watch) {
			s := w.Steps[4]
			s.Revision, s.Events = 9, []*kvpb.Event{{Kv: &kvpb.KeyValue{Key: []byte("/z"), ModRevision: 9}}}
			s.Through = api.End(9)
			w.Steps = append(w.Steps, s)
		}, "never committed"},
		"from before":             {func(w *check.Watch) { p := api.End(3); w.Since = &p }, "already, or is from before"},
		"value":                   {func(w *check.Watch) { event(w).Kv.Value = []byte("w") }, "committed was"},
		"version":                 {func(w *check.Watch) { event(w).Kv.Version = 1 }, "committed was"},
		"create flag":             {func(w *check.Watch) { event(w).Kv.CreateRevision = 3 }, "committed was"},
		"lease":                   {func(w *check.Watch) { event(w).Kv.Lease = 4 }, "committed was"},
		"a delete for a put":      {func(w *check.Watch) { event(w).Type = kvpb.Event_DELETE }, "committed was"},
		"expired":                 {func(w *check.Watch) { w.Steps[3].Events[0].Expired = true }, "committed was"},
		"state before":            {func(w *check.Watch) { event(w).PrevKv = committed()[2].Kv }, "state before"},
		"state before nothing":    {func(w *check.Watch) { w.Steps[4].Events[0].PrevKv = committed()[2].Kv }, "state before"},
		"through back":            {func(w *check.Watch) { w.Steps[2].Through = api.End(2) }, "goes back"},
		"through ahead":           {func(w *check.Watch) { w.Steps[2].Through = api.End(5) }, "was not delivered"},
		"through ahead of a part": {func(w *check.Watch) { w.Steps[0].Through = api.Position{Revision: 3} }, "was not delivered"},
		"through behind":          {func(w *check.Watch) { w.Steps[1].Through = api.End(2) }, "come again"},
		"stands still":            {func(w *check.Watch) { w.Key, w.End, w.Steps = []byte("/c"), nil, nil }, "was given time"},
		"no beginning":            {func(w *check.Watch) { w.Since = nil }, "before it says where it begins"},
		"never joined":            {func(w *check.Watch) { w.Since, w.Steps = nil, nil }, "never learned"},
		"compacted for nothing":   {func(w *check.Watch) { w.Steps, w.Compacted = w.Steps[:3], 4 }, "took nothing"},
		"compacted while quiet":   {func(w *check.Watch) { w.Steps, w.Compacted = w.Steps[:3], 5 }, "took nothing"},
		"compacted elsewhere":     {func(w *check.Watch) { w.Steps, w.Compacted = w.Steps[:1], 6 }, "never was"},
	} {
		w := rightWatch()
		c.change(w)
		err := check.Watches(committed(), []int64{4, 5}, []check.Watch{*w})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "watch w") {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
}

// A history that makes no sense is no yardstick.
func TestWatchesTruth(t *testing.T) {
	events := committed()
	events[1], events[2] = events[2], events[1]
	if err := check.Watches(events, nil, nil); err == nil {
		t.Error("takes a history that is out of order")
	}
	events = committed()
	events[6].Kv.CreateRevision = 2
	w := check.Watch{Name: "w", Key: []byte("/a"), Since: &api.Position{Revision: 5, Sub: 1}, Steps: []check.Step{{Revision: 6, Events: events[6:], Through: api.End(6)}}}
	if err := check.Watches(events, nil, []check.Watch{w}); err == nil {
		t.Error("takes a put that does not say that it creates its key")
	}
}
