// Package memstore is store.Node in memory: what the deterministic simulation
// and the tests of the core run on, and the model that the driver on disk is
// compared with.
//
// It guarantees what package store asks of a driver and behaves the same for
// the same calls. Crash and Restart give what a node finds after power loss
// and after a kill; Tear, Fail and Rot what a crash within a write, a disk that
// refuses and one that forgets do to it. It keeps nothing outside memory, and it
// refuses what only a mistake of the caller can cause: the same key written
// twice at one TS with different values, a gap in the log, a commit index past
// its end.
package memstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// defaultFreeBytes is what FreeBytes answers until SetFreeBytes is called.
const defaultFreeBytes = 1 << 40

// Store implements store.Node. Its methods may be called by any goroutine, as
// far as package store allows.
type Store struct {
	mu       sync.Mutex
	log      *raftLog
	state    *state
	incoming *incoming // received, not installed
	free     uint64
	fault    error // of every write
	closed   bool
	// flushed, where a mistake is planted, is all of the log that a power cut
	// leaves.
	flushed *raftLog
}

var _ store.Node = (*Store)(nil)

// New returns a node's storage as on its first start. With a bootstrap the log
// starts behind that snapshot, whose state is empty, and the checkpoint is its
// index; all founding members use the same one. nil means an empty log that
// starts at index 1 with an empty configuration.
func New(bootstrap *raftpb.SnapshotMetadata) *Store {
	return &Store{
		log:   newLog(bootstrap),
		state: newState(),
		free:  defaultFreeBytes,
	}
}

// Log implements store.Node.
func (s *Store) Log() store.Log { return (*nodeLog)(s) }

// State implements store.Node.
func (s *Store) State() store.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Receive implements store.Node.
func (s *Store) Receive() (store.Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	if s.incoming != nil {
		s.incoming.drop()
	}
	s.incoming = &incoming{state: newState()}
	s.incoming.state.fault = s.fault
	return s.incoming, nil
}

// FreeBytes implements store.Node.
func (s *Store) FreeBytes() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free, nil
}

// SetFreeBytes sets what FreeBytes answers.
func (s *Store) SetFreeBytes(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = n
}

// Close implements store.Node. What was stored is still there for Restart and
// Crash.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	return nil
}

func (s *Store) close() {
	s.closed = true
	s.state.close()
	if s.incoming != nil {
		s.incoming.drop()
	}
}

// Restart closes s, if it is not closed, and returns what the same node finds
// when its process was killed: everything that was written, but no received
// state that was not installed.
func (s *Store) Restart() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	return &Store{log: s.log.clone(), state: s.state.clone(), free: s.free}
}

// Crash closes s, if it is not closed, and returns what the same node finds
// after power loss: the log that Append returned for, and of what was written
// to the state since the last Sync a subset that rng chooses, holes included.
func (s *Store) Crash(rng *rand.Rand) *Store {
	n := s.Restart()
	s.mu.Lock()
	defer s.mu.Unlock()
	n.state.lose(s.state.unsynced, rng)
	if s.flushed != nil {
		n.log = s.flushed
	}
	return n
}

// nodeLog is the Store's log: an Install changes the Store as well.
type nodeLog Store

func (l *nodeLog) Append(b store.Batch) error {
	s := (*Store)(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if s.fault != nil {
		return fmt.Errorf("memstore: %w", s.fault)
	}
	var received *incoming
	if b.Install != nil {
		var ok bool
		received, ok = b.Install.State.(*incoming)
		if !ok || received != s.incoming || !received.ready() {
			return errors.New("memstore: Install of a state that was not received and finished here")
		}
	}
	next := s.log.clone()
	if err := next.append(b); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	if mutant.Is(mutant.LogNotSynced) && received == nil {
		s.flushed = s.log
		s.flushed.entries = slices.Clip(s.flushed.entries)
	}
	s.log = next
	if received != nil {
		received.installed()
		s.incoming = nil
		s.state.close()
		s.state = received.state
	}
	return nil
}

// incoming is a state that is being received.
type incoming struct {
	mu    sync.Mutex
	state *state
	phase phase
}

type phase int

const (
	receiving phase = iota
	finished
	gone // installed or thrown away
)

func (in *incoming) Write(muts []store.Mutation) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != receiving {
		return store.ErrClosed
	}
	return in.state.Write(muts)
}

func (in *incoming) Finish() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != receiving {
		return store.ErrClosed
	}
	in.phase = finished
	return in.state.Sync()
}

func (in *incoming) Abort() error {
	in.drop()
	return nil
}

func (in *incoming) drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != gone {
		in.phase = gone
		in.state.close()
	}
}

func (in *incoming) ready() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.phase == finished
}

func (in *incoming) installed() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.phase = gone
}
