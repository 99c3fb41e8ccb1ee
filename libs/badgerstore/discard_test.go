package badgerstore

import (
	"fmt"
	"testing"

	"github.com/kvorum/kvorum/libs/core/store"
)

// TestDiscardDropsVersions has Badger compact a state: what Discard permits
// goes away, and what an open view reads stays.
func TestDiscardDropsVersions(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	s := open(t, cfg)
	const versions = 10
	for ts := store.TS(1); ts <= versions; ts++ {
		m := store.Mutation{Key: []byte("k"), Value: fmt.Appendf(nil, "at %d", ts), TS: 1000 * ts}
		ok(t, s.State().Write([]store.Mutation{m, {Key: []byte("gone"), TS: 1000 * ts, Delete: ts == versions}}))
	}
	held, err := s.State().Read(3500)
	ok(t, err)
	s.State().Discard(1000 * versions)
	compactTo(t, s, 2*(versions-2)) // those from 3 on
	if got, err := held.Get([]byte("k")); err != nil || string(got) != "at 3" {
		t.Fatalf("k in a held view: %q, %v", got, err)
	}
	held.Close()
	compactTo(t, s, 1) // the newest of k
}

// compactTo overwrites filler and merges tables until only so many versions
// are left.
func compactTo(t *testing.T, s *Store, want int) {
	t.Helper()
	value := make([]byte, store.MaxStateValueBytes)
	got := 0
	for range 12 {
		for range 40 {
			for _, key := range []string{"a", "z"} { // around the keys that matter
				fillerTS++
				ok(t, s.State().Write([]store.Mutation{{Key: []byte(key), Value: value, TS: fillerTS}}))
			}
		}
		ok(t, s.state.db.Flatten(1))
		if got = countVersions(t, s); got == want {
			return
		}
	}
	t.Fatalf("%d versions are left, want %d", got, want)
}

var fillerTS = store.TS(100_000)

func countVersions(t *testing.T, s *Store) int {
	t.Helper()
	v, err := s.State().Read(99_999)
	ok(t, err)
	defer v.Close()
	n := 0
	ok(t, v.Versions(func(store.Mutation) error {
		n++
		return nil
	}))
	return n
}
