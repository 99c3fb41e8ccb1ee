package memstore

import (
	"bytes"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/store"
)

// versionsPerLock is how many versions View.Versions copies before it lets
// writers go on.
const versionsPerLock = 256

// view implements store.View on the live versions: what is written after it
// was opened has a higher TS, and pruning spares what it can see.
type view struct {
	state *state
	ts    store.TS
}

func (v *view) Get(key []byte) ([]byte, error) {
	v.state.mu.RLock()
	defer v.state.mu.RUnlock()
	if v.state.closed {
		return nil, store.ErrClosed
	}
	found, ok := v.visible(string(key))
	if !ok {
		return nil, fmt.Errorf("memstore: key %q at %d: %w", key, v.ts, store.ErrNotFound)
	}
	return []byte(found.value), nil
}

// visible is the live version of key in this view. The state is locked.
func (v *view) visible(key string) (found version, ok bool) {
	v.state.versions.Ascend(version{key: key, ts: v.ts}, func(got version) bool {
		found, ok = got, got.key == key && !got.delete
		return false
	})
	return found, ok
}

func (v *view) Scan(lower, upper []byte, reverse bool) store.Iterator {
	return &iterator{view: v, lower: string(lower), upper: string(upper), bounded: upper != nil, reverse: reverse}
}

func (v *view) Versions(fn func(store.Mutation) error) error {
	next := version{ts: maxTS}
	for {
		batch, err := v.versionsFrom(next)
		if err != nil {
			return err
		}
		for _, got := range batch {
			if got.rotten {
				return fmt.Errorf("memstore: key %q at %d: %w", got.key, got.ts, store.ErrCorrupt)
			}
			m := store.Mutation{Key: []byte(got.key), Value: []byte(got.value), TS: got.ts, Delete: got.delete}
			if err := fn(m); err != nil {
				return err
			}
		}
		if len(batch) < versionsPerLock {
			return nil
		}
		next = batch[len(batch)-1]
		next.ts-- // The versions of a key go from the newest to the oldest.
		if next.ts == maxTS {
			next = version{key: next.key + "\x00", ts: maxTS}
		}
	}
}

func (v *view) versionsFrom(pivot version) ([]version, error) {
	v.state.mu.RLock()
	defer v.state.mu.RUnlock()
	if v.state.closed {
		return nil, store.ErrClosed
	}
	var batch []version
	v.state.versions.Ascend(pivot, func(got version) bool {
		if got.ts <= v.ts {
			batch = append(batch, got)
		}
		return len(batch) < versionsPerLock
	})
	return batch, nil
}

func (v *view) Close() {
	v.state.mu.Lock()
	defer v.state.mu.Unlock()
	delete(v.state.views, v)
	v.state.prune()
}

// iterator implements store.Iterator. Its buffers are used again by every
// Next, so that a caller that keeps a slice for longer is found out.
type iterator struct {
	view         *view
	lower, upper string
	bounded      bool
	reverse      bool
	started      bool
	at           string // key of the current position
	key, value   []byte
	err          error
}

func (it *iterator) Next() bool {
	if it.err != nil {
		return false
	}
	s := it.view.state
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		it.err = store.ErrClosed
		return false
	}
	for {
		key, ok := it.nextKey()
		it.at, it.started = key, true
		if !ok {
			return false
		}
		if found, ok := it.view.visible(key); ok {
			clear(it.key)
			clear(it.value)
			it.key = append(it.key[:0], found.key...)
			it.value = append(it.value[:0], found.value...)
			return true
		}
	}
}

// nextKey is the next key in bounds that has any version.
func (it *iterator) nextKey() (key string, ok bool) {
	take := func(got version) bool {
		if it.reverse && (it.started && got.key >= it.at || !it.started && it.bounded && got.key >= it.upper) {
			return true // the pivot itself
		}
		key, ok = got.key, true
		return false
	}
	versions := it.view.state.versions
	switch {
	case it.reverse && it.started:
		versions.Descend(version{key: it.at, ts: maxTS}, take)
	case it.reverse && it.bounded:
		versions.Descend(version{key: it.upper, ts: maxTS}, take)
	case it.reverse:
		versions.Reverse(take)
	case it.started:
		versions.Ascend(version{key: it.at + "\x00", ts: maxTS}, take)
	default:
		versions.Ascend(version{key: it.lower, ts: maxTS}, take)
	}
	return key, ok && key >= it.lower && (!it.bounded || key < it.upper)
}

func (it *iterator) Key() []byte { return it.key }

func (it *iterator) Value() []byte { return bytes.Clone(it.value) }

func (it *iterator) Err() error { return it.err }

func (it *iterator) Close() {}
