package memstore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/kvorum/kvorum/libs/core/store"
)

// maxTS sorts before every version of its key.
const maxTS = store.TS(math.MaxUint64)

// version is one version of one key. Versions are sorted by key, and those of
// one key from the newest to the oldest.
type version struct {
	key    string
	ts     store.TS
	value  string
	delete bool
	rotten bool // damaged after it was written
}

func (v version) bytes() uint64 { return uint64(len(v.key) + len(v.value) + 16) }

func versionLess(a, b version) bool {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.ts > b.ts
}

// written is a version by the order of TS: the queue of what a later Discard
// has to look at.
type written struct {
	ts  store.TS
	key string
}

func writtenLess(a, b written) bool {
	if a.ts != b.ts {
		return a.ts < b.ts
	}
	return a.key < b.key
}

// state implements store.State.
type state struct {
	mu        sync.RWMutex
	versions  *btree.BTreeG[version]
	pending   *btree.BTreeG[written] // versions above what was pruned
	unsynced  []written
	views     map[*view]struct{}
	discarded store.TS // what Discard asked for
	bytes     uint64
	fault     error // of every write
	closed    bool
}

func newState() *state {
	return &state{
		versions: btree.NewBTreeGOptions(versionLess, btree.Options{NoLocks: true}),
		pending:  btree.NewBTreeGOptions(writtenLess, btree.Options{NoLocks: true}),
		views:    make(map[*view]struct{}),
	}
}

func (s *state) Write(muts []store.Mutation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if s.fault != nil {
		return fmt.Errorf("memstore: %w", s.fault)
	}
	for _, m := range muts {
		if err := s.write(m); err != nil {
			return fmt.Errorf("memstore: %w", err)
		}
	}
	return nil
}

func (s *state) write(m store.Mutation) error {
	if len(m.Key) == 0 || len(m.Key) > store.MaxStateKeyBytes {
		return fmt.Errorf("state key of %d bytes, must be 1 to %d", len(m.Key), store.MaxStateKeyBytes)
	}
	if m.TS == 0 || m.TS == maxTS {
		return fmt.Errorf("state key written at TS %d", m.TS)
	}
	v := version{key: string(m.Key), ts: m.TS, delete: m.Delete}
	if !m.Delete {
		if len(m.Value) > store.MaxStateValueBytes {
			return fmt.Errorf("state value of %d bytes, must be at most %d", len(m.Value), store.MaxStateValueBytes)
		}
		v.value = string(m.Value)
	}
	if old, ok := s.versions.Get(v); ok && old.rotten {
		s.remove(old)
	} else if ok {
		if old != v {
			return fmt.Errorf("key %q is written again at %d with another value: apply is not deterministic", v.key, v.ts)
		}
		return nil
	}
	s.versions.Set(v)
	s.bytes += v.bytes()
	s.pending.Set(written{v.ts, v.key})
	s.unsynced = append(s.unsynced, written{v.ts, v.key})
	return nil
}

func (s *state) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if s.fault != nil {
		return fmt.Errorf("memstore: %w", s.fault)
	}
	s.unsynced = s.unsynced[:0]
	return nil
}

func (s *state) Read(ts store.TS) (store.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	if ts < s.discarded {
		return nil, fmt.Errorf("memstore: read at %d, discarded to %d: %w", ts, s.discarded, store.ErrDiscarded)
	}
	v := &view{state: s, ts: ts}
	s.views[v] = struct{}{}
	return v, nil
}

func (s *state) Discard(ts store.TS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discarded = max(s.discarded, ts)
	s.prune()
}

func (s *state) Bytes() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bytes
}

// prune drops what Discard permits and no open view needs.
func (s *state) prune() {
	floor := s.discarded
	for v := range s.views {
		floor = min(floor, v.ts)
	}
	for {
		w, ok := s.pending.Min()
		if !ok || w.ts > floor {
			return
		}
		s.pending.Delete(w)
		s.pruneKey(w.key, floor)
	}
}

// pruneKey keeps, of the key's versions at or below floor, the newest if it is
// no deletion.
func (s *state) pruneKey(key string, floor store.TS) {
	var drop []version
	newest := true
	s.versions.Ascend(version{key: key, ts: floor}, func(v version) bool {
		if v.key != key {
			return false
		}
		if !newest || v.delete {
			drop = append(drop, v)
		}
		newest = false
		return true
	})
	for _, v := range drop {
		s.remove(v)
	}
}

func (s *state) remove(v version) {
	if old, ok := s.versions.Delete(v); ok {
		s.bytes -= old.bytes()
	}
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// clone is the state as a new process finds it. What was discarded stays
// dropped, but nothing remembers up to where.
func (s *state) clone() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newState()
	c.versions = s.versions.Copy()
	c.bytes = s.bytes
	c.unsynced = append(c.unsynced, s.unsynced...)
	c.pending = s.pending.Copy()
	return c
}

// lose drops a random part of what was written and not synced.
func (s *state) lose(unsynced []written, rng *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := rng.Float64()
	for _, w := range unsynced {
		if rng.Float64() < share {
			s.remove(version{key: w.key, ts: w.ts})
			s.pending.Delete(w)
		}
	}
	s.unsynced = nil
}
