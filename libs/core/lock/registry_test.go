package lock_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lock"
)

// state is a store of contenders, each change one revision, whose events reach
// the registry when deliver is called.
type state struct {
	*lock.Registry
	revision int64
	keys     map[string]*kvpb.KeyValue
	pending  []*kvpb.Event
	looks    int
	done     map[uint64]lock.Done
	order    []uint64
}

func newState() *state {
	return &state{Registry: lock.NewRegistry(), revision: 100, keys: map[string]*kvpb.KeyValue{}, done: map[uint64]lock.Done{}}
}

func (s *state) put(name string, lease int64) *kvpb.KeyValue {
	s.revision++
	kv := &kvpb.KeyValue{Key: lock.Key([]byte(name), lease), CreateRevision: s.revision, ModRevision: s.revision, Lease: lease}
	if old := s.keys[string(kv.Key)]; old != nil {
		kv.CreateRevision = old.CreateRevision
	}
	s.keys[string(kv.Key)] = kv
	s.pending = append(s.pending, &kvpb.Event{Kv: kv})
	return kv
}

func (s *state) delete(name string, lease int64) {
	key := lock.Key([]byte(name), lease)
	if s.keys[string(key)] != nil {
		s.revision++
		delete(s.keys, string(key))
		s.pending = append(s.pending, &kvpb.Event{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: key, ModRevision: s.revision}})
	}
}

func (s *state) wait(id uint64, name string, lease, fence int64) {
	if err := s.Wait(id, lock.Waiter{Name: []byte(name), Lease: lease, Fence: fence}); err != nil {
		panic(err)
	}
}

func (s *state) first(name string) (first *kvpb.KeyValue) {
	for _, kv := range s.keys {
		if n, _, _ := lock.Contender(kv.Key); string(n) == name && (first == nil || kv.CreateRevision < first.CreateRevision) {
			first = kv
		}
	}
	return first
}

// deliver gives n events and works off what follows.
func (s *state) deliver(n int) {
	for _, e := range s.pending[:n] {
		s.Event(e)
	}
	s.pending = s.pending[n:]
	for _, l := range s.Looks() {
		s.looks++
		if l.Key != nil {
			s.Found(l, s.keys[string(l.Key)])
		} else {
			s.Found(l, s.first(string(l.Name)))
		}
	}
	for _, d := range s.Done() {
		if _, twice := s.done[d.ID]; twice {
			panic(fmt.Sprintf("wait %d ends twice", d.ID))
		}
		s.done[d.ID] = d
		s.order = append(s.order, d.ID)
	}
}

func (s *state) deliverAll() { s.deliver(len(s.pending)) }

// A thousand contend: each has its turn once, in order, and what is looked at
// is one key for each that joins and who is first for each release.
func TestThousandContenders(t *testing.T) {
	const n = 1000
	s := newState()
	for i := range int64(n) {
		kv := s.put("job", i+1)
		s.wait(uint64(i), "job", i+1, kv.CreateRevision)
		s.deliverAll()
	}
	// Who is first is looked up twice: nobody waits between the first and the second.
	if s.looks != n+2 || !slices.Equal(s.order, []uint64{0}) {
		t.Fatalf("%d looks for %d that join; done: %v", s.looks, n, s.order)
	}
	for i := range int64(n) {
		if d := s.done[uint64(i)]; len(s.order) != int(i)+1 || d.Lost || d.Leader.GetLease() != i+1 {
			t.Fatalf("after %d releases %v are done", i, s.order)
		}
		s.looks = 0
		s.delete("job", i+1)
		s.deliverAll()
		if want := min(1, n-1-int(i)); s.looks != want {
			t.Fatalf("release %d takes %d looks, want %d", i, s.looks, want)
		}
	}
	if s.Len() != 0 {
		t.Errorf("%d still wait", s.Len())
	}
}

// Those who give up in the middle cost no look, and are never woken.
func TestGivingUp(t *testing.T) {
	s := newState()
	for i := range int64(100) {
		s.wait(uint64(i), "job", i+1, s.put("job", i+1).CreateRevision)
	}
	s.deliverAll()
	s.looks, s.order = 0, nil
	for i := int64(1); i < 99; i++ {
		s.delete("job", i+1)
	}
	s.deliverAll()
	if s.looks != 0 || len(s.order) != 98 || !s.done[50].Lost {
		t.Errorf("%d looks, %d done", s.looks, len(s.order))
	}
	s.delete("job", 1)
	s.deliverAll()
	if s.looks != 1 || s.done[99].Lost || s.done[99].Leader.GetLease() != 100 {
		t.Errorf("%d looks, the last one got %v", s.looks, s.done[99])
	}
}

// Each story is what happens with one waiter, id 1.
func TestWaits(t *testing.T) {
	for name, c := range map[string]struct {
		story func(s *state)
		want  string
	}{
		"first at once": {func(s *state) { s.wait(1, "n", 5, s.put("n", 5).CreateRevision) }, "held 5"},
		"first, its own event still to come": {func(s *state) {
			s.Observe(2, []byte("n"), 0)
			s.deliverAll()
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
			s.deliver(0)
		}, "held 5"},
		"first, and known to be": {func(s *state) {
			kv := s.put("n", 5)
			s.Observe(2, []byte("n"), kv.ModRevision)
			s.deliverAll()
			s.wait(1, "n", 5, kv.CreateRevision)
		}, "held 5"},
		"behind another": {func(s *state) { s.put("n", 4); s.wait(1, "n", 5, s.put("n", 5).CreateRevision) }, "waits"},
		"a release": {func(s *state) {
			s.put("n", 4)
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
			s.deliverAll()
			s.delete("n", 4)
		}, "held 5"},
		"a release of another name": {func(s *state) {
			s.put("n", 4)
			s.put("n/x", 4)
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
			s.deliverAll()
			s.delete("n/x", 4)
		}, "waits"},
		"gone before it waits": {func(s *state) {
			s.put("n", 4)
			kv := s.put("n", 5)
			s.delete("n", 5)
			s.deliverAll()
			s.wait(1, "n", 5, kv.CreateRevision)
		}, "lost"},
		"gone and another in its place before it waits": {func(s *state) {
			s.put("n", 4)
			kv := s.put("n", 5)
			s.delete("n", 5)
			s.put("n", 5)
			s.deliverAll()
			s.wait(1, "n", 5, kv.CreateRevision)
		}, "lost"},
		"gone as the first, and another in its place": {func(s *state) {
			kv := s.put("n", 5)
			s.delete("n", 5)
			s.put("n", 5)
			s.deliverAll()
			s.wait(1, "n", 5, kv.CreateRevision)
		}, "lost"},
		"gone while it waits": {func(s *state) {
			s.put("n", 4)
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
			s.deliverAll()
			s.delete("n", 5)
		}, "lost"},
		"an older contender of its lease goes": {func(s *state) {
			s.put("n", 4)
			s.put("n", 5)
			s.delete("n", 5)
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
		}, "waits"},
		"a repeated request waits twice": {func(s *state) {
			kv := s.put("n", 5)
			s.wait(1, "n", 5, kv.CreateRevision)
			s.wait(2, "n", 5, kv.CreateRevision)
		}, "held 5"},
		"cancelled": {func(s *state) {
			s.put("n", 4)
			s.wait(1, "n", 5, s.put("n", 5).CreateRevision)
			s.deliverAll()
			s.Cancel(1)
			s.Cancel(1)
			s.delete("n", 4)
		}, "ended without an outcome"},
		"observes nobody":              {func(s *state) { s.Observe(1, []byte("n"), 0) }, "waits"},
		"observes what is known":       {func(s *state) { s.Observe(1, []byte("n"), s.put("n", 5).ModRevision) }, "waits"},
		"observes what is not known":   {func(s *state) { s.put("n", 5); s.Observe(1, []byte("n"), 7) }, "held 5"},
		"observes that nobody is left": {func(s *state) { s.Observe(1, []byte("n"), 7) }, "nobody"},
		"observes the first": {func(s *state) {
			s.Observe(1, []byte("n"), 0)
			s.deliverAll()
			s.put("n", 6)
		}, "held 6"},
		"observes a new value": {func(s *state) {
			s.Observe(1, []byte("n"), s.put("n", 5).ModRevision)
			s.deliverAll()
			s.put("n", 5)
		}, "held 5"},
		"observes the next": {func(s *state) {
			s.Observe(1, []byte("n"), s.put("n", 5).ModRevision)
			s.put("n", 6)
			s.deliverAll()
			s.delete("n", 5)
		}, "held 6"},
		"a contender behind is no news": {func(s *state) {
			s.Observe(1, []byte("n"), s.put("n", 5).ModRevision)
			s.put("n", 6)
			s.deliverAll()
			s.put("n", 6)
		}, "waits"},
		"observes what another found": {func(s *state) {
			s.put("n", 5)
			s.Observe(2, []byte("n"), s.put("n", 5).ModRevision)
			s.deliverAll()
			s.Observe(1, []byte("n"), 7)
		}, "held 5"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState()
			c.story(s)
			s.deliverAll()
			if got := s.outcome(1); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func (s *state) outcome(id uint64) string {
	d, ok := s.done[id]
	switch {
	case !ok && slices.Contains(s.Clear(), id):
		return "waits"
	case !ok:
		return "ended without an outcome"
	case d.Lost:
		return "lost"
	case d.Leader == nil:
		return "nobody"
	}
	return fmt.Sprint("held ", d.Leader.Lease)
}

// Whatever happens in which order, and however far the state is ahead of the
// events: a contender is told that it holds the name only when it was first,
// and once all events are there nobody waits in vain.
func TestRandom(t *testing.T) {
	for seed := range uint64(400) {
		random(t, seed)
	}
}

func random(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := newState()
	type wish struct {
		name         string
		lease, fence int64 // an observer's lease is 0
	}
	wishes := map[uint64]wish{}
	firsts := map[string]bool{} // every first contender that ever was
	var id uint64
	note := func() {
		for _, n := range []string{"a", "b"} {
			f := s.first(n)
			firsts[fmt.Sprint(n, f.GetLease(), f.GetCreateRevision(), f.GetModRevision())] = true
		}
	}
	check := func() {
		for i, d := range s.done {
			w := wishes[i]
			if f := d.Leader; !d.Lost && !firsts[fmt.Sprint(w.name, f.GetLease(), f.GetCreateRevision(), f.GetModRevision())] {
				t.Fatalf("seed %d: wait %d, %+v, ends with %v, which never was the first", seed, i, w, f)
			}
			if f := d.Leader; !d.Lost && w.lease != 0 && (f.Lease != w.lease || f.CreateRevision != w.fence) {
				t.Fatalf("seed %d: wait %d, %+v, is given %v", seed, i, w, f)
			}
			delete(wishes, i)
		}
		clear(s.done)
	}
	for range 400 {
		w := wish{name: string(rune('a' + rng.IntN(2))), lease: 1 + rng.Int64N(6)}
		switch rng.IntN(8) {
		case 0, 1:
			w.fence = s.put(w.name, w.lease).CreateRevision
			id++
			wishes[id] = w
			s.wait(id, w.name, w.lease, w.fence)
		case 2, 3:
			s.delete(w.name, w.lease)
		case 4:
			s.put(w.name, w.lease)
		case 5:
			id++
			wishes[id] = wish{name: w.name, fence: s.first(w.name).GetModRevision() - rng.Int64N(2)}
			if err := s.Observe(id, []byte(w.name), wishes[id].fence); err != nil {
				t.Fatal(err)
			}
		case 6:
			s.deliver(rng.IntN(len(s.pending) + 1))
		case 7:
			if cancel := id - min(id, rng.Uint64N(5)); rng.IntN(3) == 0 {
				s.Cancel(cancel)
				s.deliver(0)
				check()
				delete(wishes, cancel)
			}
		}
		note()
		check()
	}
	s.deliverAll()
	check()
	for i, w := range wishes {
		f, own := s.first(w.name), s.keys[string(lock.Key([]byte(w.name), w.lease))]
		switch {
		case w.lease == 0 && f.GetModRevision() != w.fence:
			t.Fatalf("seed %d: observer %d of %s still waits after %d, the first is %v", seed, i, w.name, w.fence, f)
		case w.lease != 0 && (own.GetCreateRevision() != w.fence || f == own):
			t.Fatalf("seed %d: contender %d, %+v, still waits, the first is %v", seed, i, w, f)
		}
	}
	if s.Len() != len(wishes) {
		t.Fatalf("seed %d: %d wait, want %d", seed, s.Len(), len(wishes))
	}
}

func TestWaitersMax(t *testing.T) {
	s := lock.NewRegistry()
	for i := range lock.WaitersMax {
		if err := s.Observe(uint64(i), []byte("n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	overloaded := &api.Error{Kind: api.KindOverloaded}
	if err := s.Observe(1<<40, []byte("n"), 0); !errors.Is(err, overloaded) {
		t.Errorf("one more observer: %v", err)
	}
	if err := s.Wait(1<<40, lock.Waiter{Name: []byte("n"), Lease: 1, Fence: 1}); !errors.Is(err, overloaded) {
		t.Errorf("one more contender: %v", err)
	}
	if ids := s.Clear(); len(ids) != lock.WaitersMax || s.Len() != 0 {
		t.Errorf("cleared %d, %d are left", len(ids), s.Len())
	}
}
