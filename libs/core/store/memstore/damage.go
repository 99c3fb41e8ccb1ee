package memstore

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Fail lets every write fail with err from now on, that of the log and that of
// the state; nil ends it. A Store made by Restart or Crash begins without.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
	s.state.fail(err)
	if s.incoming != nil {
		s.incoming.state.fail(err)
	}
}

func (s *state) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// Tear does what a crash in the middle of Append(b) leaves: all of b, nothing,
// or what a prefix of its entries makes of the log, chosen by rng. A batch that
// Append would refuse leaves nothing.
func (s *Store) Tear(b store.Batch, rng *rand.Rand) {
	n := len(b.Entries)
	switch chance := rng.IntN(4); {
	case chance == 0:
		return
	case b.Install != nil && chance == 1:
		b.Entries, b.Checkpoint = nil, 0 // the state and the hard state are exchanged at once
		b.Hard = s.reach(b)
	case n > 0 && chance == 2:
		s.cut(b.Entries[0].GetIndex()) // those that b replaces go first
		b = store.Batch{}
	case n > 0 && chance == 3:
		b.Checkpoint, b.Entries = 0, b.Entries[:1+rng.IntN(n)]
		b.Hard = s.reach(b)
	}
	_ = s.Log().Append(b) // one that is refused was never begun
}

// cut forgets the entries from an index on.
func (s *Store) cut(from uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.log.clone()
	if s.closed || from <= next.baseIndex || from > next.last() {
		return
	}
	for _, e := range next.entries[from-next.baseIndex-1:] {
		next.bytes -= uint64(proto.Size(e))
	}
	next.entries = slices.Clip(next.entries[:from-next.baseIndex-1])
	s.log = next
}

// reach is b's hard state with the commit index that b's log can have.
func (s *Store) reach(b store.Batch) *raftpb.HardState {
	if b.Hard == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.log.last()
	if b.Install != nil {
		last = b.Install.Snapshot.GetIndex()
	}
	if n := len(b.Entries); n > 0 {
		last = b.Entries[n-1].GetIndex()
	}
	hard := proto.CloneOf(b.Hard)
	commit := min(hard.GetCommit(), last)
	hard.Commit = &commit
	return hard
}

// Rot damages a value of the state that rng chooses, or, where log is true, an
// entry of the log, and tells which; "" where there is none. A damaged entry
// fails with store.ErrCorrupt; a damaged value is read as it is by Get and
// Scan, so that its reader has to notice, and fails in Versions. Writing it
// again heals it.
func (s *Store) Rot(rng *rand.Rand, log bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if log {
		if len(s.log.entries) == 0 {
			return ""
		}
		index := s.log.baseIndex + 1 + rng.Uint64N(uint64(len(s.log.entries)))
		next := s.log.clone()
		next.rotten = map[uint64]bool{index: true}
		for i := range s.log.rotten {
			next.rotten[i] = true
		}
		s.log = next
		return fmt.Sprintf("entry %d", index)
	}
	return s.state.rot(rng)
}

func (s *state) rot(rng *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions.Len() == 0 {
		return ""
	}
	v, _ := s.versions.GetAt(rng.IntN(s.versions.Len()))
	if v.value == "" {
		return ""
	}
	b := []byte(v.value)
	b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	v.value, v.rotten = string(b), true
	s.versions.Set(v)
	return fmt.Sprintf("the value of %q at %d", v.key, v.ts)
}

// Unsynced is the lowest TS of what was written and not synced; ok is false
// where there is nothing.
func (s *Store) Unsynced() (lowest store.TS, ok bool) {
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	st.mu.RLock()
	defer st.mu.RUnlock()
	for _, w := range st.unsynced {
		if !ok || w.ts < lowest {
			lowest, ok = w.ts, true
		}
	}
	return lowest, ok
}

// Durable reports whether the log holds an entry of that index and term, or
// the state of that index or a later one.
func (s *Store) Durable(index, term uint64) bool {
	s.mu.Lock()
	l := s.log
	s.mu.Unlock()
	switch {
	case index <= l.baseIndex:
		return true
	case index > l.last():
		return false
	}
	return l.entries[index-l.baseIndex-1].GetTerm() == term
}

// Scrub reads everything that is stored, and fails with store.ErrCorrupt where
// something is damaged.
func (s *Store) Scrub() error {
	s.mu.Lock()
	l, st := s.log, s.state
	s.mu.Unlock()
	for i := range l.rotten {
		if i > l.baseIndex && i <= l.last() {
			return fmt.Errorf("memstore: entry %d: %w", i, store.ErrCorrupt)
		}
	}
	view, err := st.Read(maxTS)
	if err != nil {
		return err
	}
	defer view.Close()
	return view.Versions(func(store.Mutation) error { return nil })
}
