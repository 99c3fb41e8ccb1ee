// Package badgerstore is store.Node on disk, in two Badger databases: the Raft
// log, which is flushed to the device before Append returns, and the state,
// which is flushed by Sync only.
//
// # Files
//
//	DIR/LOCK         held by the process that has the directory open
//	DIR/IDENTITY     format version, cluster, node; checked by every Open
//	DIR/DAMAGED      what was found damaged; Open refuses (damage.go)
//	DIR/UNVERIFIED   a process has not verified all that it found (verify.go)
//	DIR/damaged/     files that were set aside, until the node is whole again
//	DIR/log/         the Raft log
//	DIR/state-N/     the state in use, named by the log's meta record; any other
//	                 one was received and not installed, and is removed by Open
//
// # What it guarantees
//
// What package store asks for, and: an ordinary Append costs one flush of the
// device. An error of a write or a flush is final, because the kernel may
// forget unwritten pages after reporting them once: every later call returns
// it. Every record carries a checksum over its key, timestamp and value that
// is verified on every read. A log that ends before something that it
// acknowledged is refused at Open, as far as the files still show it.
//
// # What it does not
//
// Scrub verifies the tables whole, and so does Open where they are few (verify.go).
// Before and between them, a damaged key or deletion in a table of the state can
// hide a value, and a compaction can carry that into a new table, where Scrub no
// longer sees it. A last batch whose bytes were
// damaged after it was written is taken for one that was being written when
// power failed. A disk that fills up kills the process with a signal, since
// the files are mapped: the caller watches FreeBytes and stops writing before.
// The file system must cover the name of a new file by an fsync of the file, as
// ext4, XFS and btrfs do: Badger does not flush the directory after every table.
//
// # How Badger is used
//
// Badger's own Sync does not cover memtables that were rotated and not yet
// flushed (TestBadgerSyncSkipsRotatedMemtables), so package memfiles.go keeps
// the write-ahead file of every memtable open and flushes it itself. A table
// that Badger makes of a memtable is on the device before the memtable's file
// goes away. Values never reach Badger's value log: they are below its
// threshold, and log entries are cut into chunks.
package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Config says what to open.
type Config struct {
	// Dir is created on the first start.
	Dir string
	// Identity is stored on the first start and compared on every later one.
	Identity Identity
	// Bootstrap is where the log of a founding member starts on the first
	// start: behind a snapshot at index 1 and term 1 with the founding
	// configuration and an empty state. nil: an empty log, of a node that
	// joins later. Ignored when the directory has been started before.
	Bootstrap *raftpb.SnapshotMetadata
	// Logger gets what Badger reports; nil discards it.
	Logger *slog.Logger
	// MinFreeBytes is how much free space Open demands; 0 means
	// DefaultMinFreeBytes.
	MinFreeBytes uint64

	tune tuning // tests only
}

// DefaultMinFreeBytes is the least free space that Open starts with: enough
// for both databases to write out what their memtables hold.
const DefaultMinFreeBytes = 64 << 20

// Store implements store.Node.
type Store struct {
	dir      string
	opts     options
	lock     *dirLock
	log      *raftLog
	mu       sync.Mutex
	identity identityFile
	state    *state
	number   uint64    // of the state in use
	recv     *incoming // received, not installed
	next     uint64    // number of the next received state
	closed   bool
}

var _ store.Node = (*Store)(nil)

// Open opens or, on the first start, creates a node's storage. It fails with
// ErrInUse, ErrOtherCluster, ErrOtherNode, ErrNewerFormat, ErrNoSpace,
// ErrDescriptors or store.ErrCorrupt, wrapped in a text that names the
// directory and says what to do.
func Open(cfg Config) (s *Store, err error) {
	opts := newOptions(cfg)
	if err := checkDescriptors(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: create the data directory: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s = &Store{dir: cfg.Dir, opts: opts, lock: lock}
	s.opts.verification = newVerification(cfg.Dir, opts.atOnceBytes)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := checkFree(cfg.Dir, opts.minFreeBytes); err != nil {
		return s, err
	}
	if err := settleDamage(cfg.Dir, cfg.Identity); err != nil {
		return s, err
	}
	if s.identity, err = openIdentity(cfg.Dir, cfg.Identity); err != nil {
		return s, err
	}
	if err := s.open(cfg.Bootstrap, s.identity.Initialized); err != nil {
		return s, err
	}
	if !s.Unverified() {
		if err := s.opts.verification.done(); err != nil {
			return s, err
		}
	}
	if s.identity.Initialized {
		return s, nil
	}
	s.identity.Initialized = true
	return s, writeIdentity(cfg.Dir, s.identity)
}

// open opens both databases. Until initialized is stored in the identity, the
// first start did not finish and may be begun again.
func (s *Store) open(bootstrap *raftpb.SnapshotMetadata, initialized bool) error {
	var err error
	if s.log, err = openLog(filepath.Join(s.dir, "log"), s.opts, bootstrap, initialized); err != nil {
		return err
	}
	s.number = s.log.meta.state
	s.next = s.number + 1
	if err := s.removeOtherStates(); err != nil {
		return err
	}
	dir := s.stateDir(s.number)
	if _, err := os.Stat(dir); err != nil && initialized {
		return corruptf(dir, "the state is missing: %v", err)
	}
	if s.state, err = openState(dir, s.opts); err != nil {
		return err
	}
	if got, want := s.state.mark.Load(), s.log.meta.mark; got < want {
		return corruptf(dir, "the state ends at mark %d, but the log's checkpoint counts on %d", got, want)
	}
	return syncDir(s.dir)
}

func (s *Store) stateDir(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("state-%d", number))
}

// removeOtherStates removes what was received and not installed, and a state
// that was replaced.
func (s *Store) removeOtherStates() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if !strings.HasPrefix(e.Name(), "state-") || dir == s.stateDir(s.number) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("badgerstore: remove an unused state: %w", err)
		}
	}
	return nil
}

// Log implements store.Node.
func (s *Store) Log() store.Log { return (*nodeLog)(s) }

// State implements store.Node.
func (s *Store) State() store.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// FreeBytes implements store.Node.
func (s *Store) FreeBytes() (uint64, error) { return freeBytes(s.dir) }

// Scrub reads every table of both databases from the device and verifies its
// checksums, nothing locked meanwhile. It fails with store.ErrCorrupt where one
// does not match. A nil pace is none. Once it has succeeded the store is no
// longer Unverified.
func (s *Store) Scrub(pace Pace) error {
	s.mu.Lock()
	state, closed := s.state, s.closed
	s.mu.Unlock()
	if closed {
		return store.ErrClosed
	}
	if err := scrubTables(s.log.dir, s.log.db, pace); err != nil {
		return err
	}
	err := scrubTables(state.dir, state.db, pace)
	if err != nil && s.State() == state { // not replaced by a received one
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	return s.opts.verification.done()
}

// Unverified reports whether Open left tables to a Scrub.
func (s *Store) Unverified() bool { return s.opts.verification.pending.Load() }

// Close implements store.Node. Views that are still open fail afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	closed, recv, state := s.closed, s.recv, s.state
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	if state != nil {
		shareFailure(s.log, state)
	}
	if recv != nil {
		errs = append(errs, recv.drop())
	}
	if state != nil {
		errs = append(errs, state.close())
	}
	if s.log != nil {
		errs = append(errs, s.log.close())
	}
	errs = append(errs, s.lock.release())
	return errors.Join(errs...)
}

// shareFailure has neither database wait for a disk that has failed the other.
func shareFailure(l *raftLog, s *state) {
	l.write.Lock()
	defer l.write.Unlock()
	s.failMu.Lock()
	defer s.failMu.Unlock()
	if s.failed == nil {
		s.failed = l.failed
	}
	if l.failed == nil {
		l.failed = s.failed
	}
}
