package memstore_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

func entry(index, term uint64) *raftpb.Entry {
	return &raftpb.Entry{Index: &index, Term: &term, Data: []byte("data")}
}

func hard(term, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: &term, Commit: &commit}
}

// TestTear: a crash within an append leaves the old log, the new one, or a
// prefix of the new entries, and never a commit index beyond the end.
func TestTear(t *testing.T) {
	seen := map[uint64]int{} // last index -> times
	replaced := 0
	for seed := range uint64(200) {
		s := memstore.New(storetest.Bootstrap())
		first := s.Log().Checkpoint() + 1
		if err := s.Log().Append(store.Batch{Hard: hard(1, first), Entries: []*raftpb.Entry{entry(first, 1), entry(first+1, 1)}}); err != nil {
			t.Fatal(err)
		}
		b := store.Batch{Hard: hard(2, first+3), Entries: []*raftpb.Entry{entry(first+1, 2), entry(first+2, 2), entry(first+3, 2)}}
		s.Tear(b, rand.New(rand.NewPCG(seed, 0)))
		s = s.Restart()
		last, _ := s.Log().LastIndex()
		state, _, _ := s.Log().InitialState()
		if state.GetCommit() > last || last < first || last > first+3 {
			t.Fatalf("seed %d: commit index %d, last entry %d", seed, state.GetCommit(), last)
		}
		if term, _ := s.Log().Term(last); last > first+1 && term != 2 {
			t.Fatalf("seed %d: entry %d is of term %d", seed, last, term)
		} else if last == first+1 && term == 2 {
			replaced++
		}
		seen[last-first]++
	}
	if len(seen) != 4 || replaced == 0 {
		t.Fatalf("the last entries were %v, %d times the first of the new ones", seen, replaced)
	}
}

func TestFail(t *testing.T) {
	s := memstore.New(storetest.Bootstrap())
	want := errors.New("broken")
	s.Fail(want)
	m := []store.Mutation{{Key: []byte("k"), Value: []byte("v"), TS: 5000}}
	in, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"append": s.Log().Append(store.Batch{Checkpoint: 1}), "write": s.State().Write(m), "sync": s.State().Sync(), "receive": in.Write(m),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.Fail(nil)
	if err := s.State().Write(m); err != nil {
		t.Error(err)
	}
}

// TestRot: a damaged value is read otherwise than it was written, a damaged
// entry not at all, and both are whole after they were written again.
func TestRot(t *testing.T) {
	s := memstore.New(storetest.Bootstrap())
	rng := rand.New(rand.NewPCG(1, 1))
	m := []store.Mutation{{Key: []byte("k"), Value: []byte("value"), TS: 5000}}
	index := s.Log().Checkpoint() + 1
	e := []*raftpb.Entry{entry(index, 1)}
	if err := errors.Join(s.State().Write(m), s.Log().Append(store.Batch{Entries: e})); err != nil {
		t.Fatal(err)
	}
	if s.Rot(rng, false) == "" || s.Rot(rng, true) == "" {
		t.Fatal("nothing was damaged")
	}
	s = s.Restart()
	read := func() (string, error, error) {
		view, err := s.State().Read(6000)
		if err != nil {
			t.Fatal(err)
		}
		defer view.Close()
		b, err := view.Get([]byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		versions := view.Versions(func(store.Mutation) error { return nil })
		_, entries := s.Log().Entries(index, index+1, 1<<20)
		return string(b), versions, entries
	}
	if v, versions, entries := read(); v == "value" || !errors.Is(versions, store.ErrCorrupt) || !errors.Is(entries, store.ErrCorrupt) {
		t.Errorf("after damage: %q, %v, %v", v, versions, entries)
	}
	if err := errors.Join(s.State().Write(m), s.Log().Append(store.Batch{Entries: e})); err != nil {
		t.Fatal(err)
	}
	if v, versions, entries := read(); v != "value" || versions != nil || entries != nil {
		t.Errorf("after writing again: %q, %v, %v", v, versions, entries)
	}
}

func TestDurableAndUnsynced(t *testing.T) {
	s := memstore.New(storetest.Bootstrap())
	base := s.Log().Checkpoint()
	if err := s.Log().Append(store.Batch{Entries: []*raftpb.Entry{entry(base+1, 3)}}); err != nil {
		t.Fatal(err)
	}
	if !s.Durable(base, 1) || !s.Durable(base+1, 3) || s.Durable(base+1, 2) || s.Durable(base+2, 3) {
		t.Error("Durable is wrong about what the log holds")
	}
	if _, ok := s.Unsynced(); ok {
		t.Error("a new state has something unsynced")
	}
	for _, ts := range []store.TS{7000, 5000, 6000} {
		if err := s.State().Write([]store.Mutation{{Key: []byte("k"), TS: ts}}); err != nil {
			t.Fatal(err)
		}
	}
	if ts, ok := s.Unsynced(); !ok || ts != 5000 {
		t.Errorf("the lowest TS that is not synced is %d, want 5000", ts)
	}
}
