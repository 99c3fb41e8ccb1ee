package badgerstore

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/kvorum/kvorum/libs/core/store"
)

// stateView implements store.View.
type stateView struct {
	state *state
	ts    store.TS
	txn   *badger.Txn
	key   []byte // of the last Get, whose room the next one uses
}

// enter keeps the database open until leave.
func (v *stateView) enter() error {
	v.state.open.RLock()
	if v.state.closed {
		v.state.open.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (v *stateView) leave() { v.state.open.RUnlock() }

// Get implements store.View.
func (v *stateView) Get(key []byte) (value []byte, err error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.leave()
	defer guard(v.state.dir, &err)
	if len(key) == 0 {
		return nil, store.ErrNotFound
	}
	v.key = append(append(v.key[:0], statePrefix), key...)
	item, err := v.txn.Get(v.key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %s: get key %q: %w", v.state.dir, key, err)
	}
	return v.state.value(item, key)
}

// value verifies and returns the value of key, in the item's own copy of it: it
// is there as long as the item is.
func (s *state) value(item *badger.Item, key []byte) ([]byte, error) {
	var stored []byte
	err := item.Value(func(b []byte) error {
		stored = b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %s: value of key %q: %w", s.dir, key, err)
	}
	return s.unseal(item.Version(), key, stored)
}

// Scan implements store.View.
func (v *stateView) Scan(lower, upper []byte, reverse bool) store.Iterator {
	it := &stateIterator{view: v, lower: stateKey(lower), reverse: reverse}
	it.upper = []byte{statePrefix + 1}
	if upper != nil {
		it.upper = stateKey(upper)
	}
	if err := v.enter(); err != nil {
		it.err = err
		return it
	}
	defer v.leave()
	opts := badger.IteratorOptions{Reverse: reverse}
	if !reverse {
		// Badger reads ahead to the next live key: not past the bound's prefix.
		// The other way it would take the bound itself for the end.
		opts.Prefix = commonPrefix(it.lower, it.upper)
	}
	it.badger = v.txn.NewIterator(opts)
	return it
}

func commonPrefix(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return bytes.Clone(a[:n])
}

// Versions implements store.View, in the order of the keys, newest first.
func (v *stateView) Versions(fn func(store.Mutation) error) error {
	if err := v.enter(); err != nil {
		return err
	}
	it := v.txn.NewIterator(badger.IteratorOptions{AllVersions: true, Prefix: []byte{statePrefix}})
	v.leave()
	defer v.closeIterator(it)
	for first := true; ; first = false {
		m, ok, err := v.nextVersion(it, first)
		if err != nil || !ok {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}

// nextVersion moves to the next version. fn runs outside of it, since it may
// write to another database or wait for a receiver.
func (v *stateView) nextVersion(it *badger.Iterator, first bool) (m store.Mutation, ok bool, err error) {
	if err := v.enter(); err != nil {
		return m, false, err
	}
	defer v.leave()
	defer guard(v.state.dir, &err)
	if first {
		it.Seek([]byte{statePrefix})
	} else {
		it.Next()
	}
	if !it.Valid() {
		return m, false, nil
	}
	item := it.Item()
	m = store.Mutation{Key: item.Key()[1:], TS: store.TS(item.Version()), Delete: item.IsDeletedOrExpired()}
	if m.Delete {
		return m, true, nil
	}
	m.Value, err = v.state.value(item, m.Key)
	return m, err == nil, err
}

// closeIterator leaves the iterator of a closed database alone: the tables
// that it reads are gone.
func (v *stateView) closeIterator(it *badger.Iterator) {
	if v.enter() == nil {
		defer v.leave()
		it.Close()
	}
}

// Close implements store.View.
func (v *stateView) Close() {
	if v.enter() == nil {
		defer v.leave()
		v.txn.Discard()
		v.state.release(v)
	}
}

// stateIterator implements store.Iterator.
type stateIterator struct {
	view         *stateView
	badger       *badger.Iterator
	lower, upper []byte // with prefix
	reverse      bool
	started      bool
	key, value   []byte
	read         bool // value is of the current key
	err          error
}

func (it *stateIterator) Next() (ok bool) {
	it.key, it.value, it.read = nil, nil, false
	if it.err != nil {
		return false
	}
	if it.err = it.view.enter(); it.err != nil {
		return false
	}
	defer it.view.leave()
	defer func() { ok = ok && it.err == nil }()
	defer guard(it.view.state.dir, &it.err)
	it.move()
	if !it.badger.Valid() {
		return false
	}
	key := it.badger.Item().Key()
	if bytes.Compare(key, it.lower) < 0 || bytes.Compare(key, it.upper) >= 0 {
		return false
	}
	it.key = key[1:]
	return true
}

func (it *stateIterator) move() {
	switch {
	case it.started && it.badger.Valid():
		it.badger.Next()
	case it.started:
	case it.reverse:
		it.badger.Seek(it.upper)
		if it.badger.Valid() && bytes.Equal(it.badger.Item().Key(), it.upper) {
			it.badger.Next() // The bound is not part of the range.
		}
	default:
		it.badger.Seek(it.lower)
	}
	it.started = true
}

func (it *stateIterator) Key() []byte { return it.key }

// Value reads the value on the first call for a key.
func (it *stateIterator) Value() []byte {
	if it.read || it.key == nil || it.err != nil {
		return it.value
	}
	it.value, it.read = nil, true
	if it.err = it.view.enter(); it.err != nil {
		return nil
	}
	defer it.view.leave()
	defer guard(it.view.state.dir, &it.err)
	it.value, it.err = it.view.state.value(it.badger.Item(), it.key)
	return it.value
}

func (it *stateIterator) Err() error { return it.err }

func (it *stateIterator) Close() {
	if it.badger != nil {
		it.view.closeIterator(it.badger)
		it.badger = nil
		it.key = nil
	}
}
