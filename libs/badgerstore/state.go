package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Keys of a state database: statePrefix and the key, so that none collides with
// those that Badger reserves. The Badger version is the TS. The value: CRC-32C
// over TS (8, big-endian), key and value (4), then the value. A deletion is
// one of Badger's, with an empty value.
//
// markKey, without a value, counts the Syncs in its version. Badger stops
// reading a memtable's file at the first damaged record; a state whose mark is
// below the one that the log recorded with its checkpoint has lost something.
const (
	statePrefix = 'k'
	markKey     = "m"
	sumBytes    = 4
)

// state implements store.State.
type state struct {
	dir string
	db  *badger.DB

	// open is read-locked by everything that is inside the database and
	// written by close alone.
	open   sync.RWMutex
	closed bool

	syncMu sync.Mutex    // held by Sync
	mark   atomic.Uint64 // Syncs that returned

	failMu sync.Mutex
	failed error // of a write or a flush, which is final

	viewMu    sync.Mutex
	views     map[*stateView]struct{}
	discarded store.TS // what Discard asked for
}

var _ store.State = (*state)(nil)

func openState(dir string, opts options) (*state, error) {
	db, err := openBadger(opts.badger(dir, opts.state), opts.verification, badger.OpenManaged)
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir, db: db, views: make(map[*stateView]struct{})}
	mark, err := s.readMark()
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.mark.Store(mark)
	return s, nil
}

func (s *state) readMark() (mark uint64, err error) {
	defer guard(s.dir, &err)
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	item, err := txn.Get([]byte(markKey))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, corruptf(s.dir, "%v", err)
	}
	return item.Version(), nil
}

// Write implements store.State.
func (s *state) Write(muts []store.Mutation) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if err := s.writable(); err != nil {
		return err
	}
	for _, m := range muts {
		if err := checkMutation(m); err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
	}
	releaseBuffers(s.db)
	batch := s.db.NewManagedWriteBatch()
	defer batch.Cancel()
	var bytes int
	for _, m := range muts {
		bytes += 1 + len(m.Key) + sumBytes + len(m.Value)
	}
	// One piece of memory for all keys and values, which Badger copies.
	entries, room := make([]badger.Entry, len(muts)), make([]byte, 0, bytes)
	for i, m := range muts {
		var key, value []byte
		var err error
		key, room = split(append(append(room, statePrefix), m.Key...))
		if m.Delete {
			err = batch.DeleteAt(key, uint64(m.TS))
		} else {
			value, room = split(appendSealed(room, m))
			entries[i] = badger.Entry{Key: key, Value: value}
			err = batch.SetEntryAt(&entries[i], uint64(m.TS))
		}
		if err != nil {
			return s.fail(err)
		}
	}
	return s.fail(batch.Flush())
}

// split returns b and the room behind it.
func split(b []byte) (taken, room []byte) { return b[:len(b):len(b)], b[len(b):] }

func checkMutation(m store.Mutation) error {
	switch {
	case len(m.Key) == 0 || len(m.Key) > store.MaxStateKeyBytes:
		return fmt.Errorf("state key of %d bytes, must be 1 to %d", len(m.Key), store.MaxStateKeyBytes)
	case !m.Delete && len(m.Value) > store.MaxStateValueBytes:
		return fmt.Errorf("state value of %d bytes, must be at most %d", len(m.Value), store.MaxStateValueBytes)
	case m.TS == 0 || m.TS == math.MaxUint64:
		return fmt.Errorf("state key written at TS %d", m.TS)
	}
	return nil
}

func stateKey(key []byte) []byte {
	k := make([]byte, 0, 1+len(key))
	return append(append(k, statePrefix), key...)
}

// appendSealed appends the stored form of m's value.
func appendSealed(b []byte, m store.Mutation) []byte {
	b = binary.BigEndian.AppendUint32(b, stateSum(m.TS, m.Key, m.Value))
	return append(b, m.Value...)
}

// unseal verifies a stored value and returns the part of it that was given to
// Write.
func (s *state) unseal(ts uint64, key, stored []byte) ([]byte, error) {
	if len(stored) < sumBytes || binary.BigEndian.Uint32(stored) != stateSum(store.TS(ts), key, stored[sumBytes:]) {
		return nil, corruptf(s.dir, "checksum of key %q at %d", key, ts)
	}
	return stored[sumBytes:len(stored):len(stored)], nil
}

func stateSum(ts store.TS, key, value []byte) uint32 {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], uint64(ts))
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// Sync implements store.State. Writes go on meanwhile.
func (s *state) Sync() error {
	s.open.RLock()
	defer s.open.RUnlock()
	if err := s.writable(); err != nil {
		return err
	}
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	next := s.mark.Load() + 1
	txn := s.db.NewTransactionAt(math.MaxUint64, true)
	defer txn.Discard()
	if err := txn.Set([]byte(markKey), nil); err != nil {
		return s.fail(err)
	}
	if err := txn.CommitAt(next, nil); err != nil {
		return s.fail(err)
	}
	if err := syncMemFiles(s.dir); err != nil {
		return s.fail(err)
	}
	s.mark.Store(next)
	return nil
}

// writable is called with open locked.
func (s *state) writable() error {
	if s.closed {
		return store.ErrClosed
	}
	s.failMu.Lock()
	defer s.failMu.Unlock()
	return s.failed
}

func (s *state) fail(err error) error {
	if err == nil {
		return nil
	}
	s.failMu.Lock()
	defer s.failMu.Unlock()
	s.failed = fmt.Errorf("badgerstore: the state in %s takes no more writes after an error: %w", s.dir, err)
	return s.failed
}

// Read implements store.State.
func (s *state) Read(ts store.TS) (store.View, error) {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if ts < s.discarded {
		return nil, fmt.Errorf("badgerstore: read at %d, discarded to %d: %w", ts, s.discarded, store.ErrDiscarded)
	}
	v := &stateView{state: s, ts: ts, txn: s.db.NewTransactionAt(uint64(ts), false)}
	s.views[v] = struct{}{}
	return v, nil
}

// Discard implements store.State. Badger drops the versions when it compacts
// the tables they are in.
func (s *state) Discard(ts store.TS) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	s.discarded = max(s.discarded, ts)
	s.permit()
}

// permit tells Badger what may go: all that no open view needs.
func (s *state) permit() {
	floor := s.discarded
	for v := range s.views {
		floor = min(floor, v.ts)
	}
	s.db.SetDiscardTs(uint64(floor))
}

func (s *state) release(v *stateView) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	delete(s.views, v)
	if v.ts < s.discarded {
		s.permit()
	}
}

// Bytes implements store.State.
func (s *state) Bytes() uint64 { return diskBytes(s.dir) }

func (s *state) close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.failMu.Lock()
	failed := s.failed != nil
	s.failMu.Unlock()
	return closeBadger(s.dir, s.db, failed)
}

// remove closes the state and deletes its files.
func (s *state) remove() error { return errors.Join(s.close(), os.RemoveAll(s.dir)) }
