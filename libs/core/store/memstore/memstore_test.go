package memstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := memstore.New(storetest.Bootstrap())
		return storetest.Harness{Node: s, Reopen: func(*testing.T) store.Node {
			s = s.Restart()
			return s
		}}
	})
}

// TestCrash loses a part of what was not synced, never more, and keeps the log.
func TestCrash(t *testing.T) {
	lost, kept := 0, 0
	for seed := range uint64(20) {
		s := memstore.New(storetest.Bootstrap())
		write := func(prefix string, ts store.TS) {
			for i := range 20 {
				m := store.Mutation{Key: fmt.Appendf(nil, "%s%d", prefix, i), Value: []byte("v"), TS: ts}
				if err := s.State().Write([]store.Mutation{m}); err != nil {
					t.Fatal(err)
				}
			}
		}
		write("synced", 2000)
		if err := s.State().Sync(); err != nil {
			t.Fatal(err)
		}
		write("synced", 2000) // A replay leaves it synced.
		write("unsynced", 3000)
		if err := s.Log().Append(store.Batch{Checkpoint: 1}); err != nil {
			t.Fatal(err)
		}
		old := s
		s = s.Crash(rand.New(rand.NewPCG(seed, 0)))
		if err := old.Log().Append(store.Batch{}); err == nil {
			t.Fatal("the crashed process still writes")
		}
		view, err := s.State().Read(4000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if _, err := view.Get(fmt.Appendf(nil, "synced%d", i)); err != nil {
				t.Fatalf("seed %d: synced key lost: %v", seed, err)
			}
			if _, err := view.Get(fmt.Appendf(nil, "unsynced%d", i)); err != nil {
				lost++
			} else {
				kept++
			}
		}
		view.Close()
		write("unsynced", 3000)
	}
	if lost == 0 || kept == 0 {
		t.Fatalf("crashes lost %d and kept %d of the unsynced keys", lost, kept)
	}
}

func TestNondeterministicApplyIsRefused(t *testing.T) {
	s := memstore.New(nil)
	m := store.Mutation{Key: []byte("k"), Value: []byte("1"), TS: 5}
	if err := s.State().Write([]store.Mutation{m}); err != nil {
		t.Fatal(err)
	}
	m.Value = []byte("2")
	if err := s.State().Write([]store.Mutation{m}); err == nil {
		t.Fatal("another value at the same TS was accepted")
	}
}

// TestDiscardFreesMemory: what Discard permits is really dropped.
func TestDiscardFreesMemory(t *testing.T) {
	s := memstore.New(nil)
	for i := range 100 {
		m := store.Mutation{Key: []byte("k"), Value: make([]byte, 100), TS: store.TS(i + 1)}
		if err := s.State().Write([]store.Mutation{m}); err != nil {
			t.Fatal(err)
		}
	}
	held, err := s.State().Read(50)
	if err != nil {
		t.Fatal(err)
	}
	full := s.State().Bytes()
	s.State().Discard(100)
	half := s.State().Bytes()
	held.Close()
	if end := s.State().Bytes(); half >= full*6/10 || end >= full/50 {
		t.Fatalf("%d bytes, %d with a view open, %d after it", full, half, end)
	}
}
