package badgerstore

import (
	"fmt"
	"math"
	"sync"

	"github.com/kvorum/kvorum/libs/core/store"
)

// incoming implements store.Incoming: a state in a directory of its own.
type incoming struct {
	number uint64

	mu      sync.Mutex
	state   *state
	written uint64 // mutations given to Write
	phase   phase
}

type phase int

const (
	receiving phase = iota
	finished
	gone // installed or thrown away
)

// Receive implements store.Node.
func (s *Store) Receive() (store.Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	if s.recv != nil {
		if err := s.recv.drop(); err != nil {
			return nil, err
		}
		s.recv = nil
	}
	state, err := openState(s.stateDir(s.next), s.opts)
	if err != nil {
		return nil, err
	}
	s.recv = &incoming{number: s.next, state: state}
	s.next++
	return s.recv, syncDir(s.dir)
}

// Write implements store.Incoming.
func (in *incoming) Write(muts []store.Mutation) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != receiving {
		return store.ErrClosed
	}
	in.written += uint64(len(muts))
	return in.state.Write(muts)
}

// Finish implements store.Incoming: it reads back every version, whose
// checksums tell whether it is what was written.
func (in *incoming) Finish() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != receiving {
		return store.ErrClosed
	}
	if err := in.state.Sync(); err != nil {
		return err
	}
	if err := in.verify(); err != nil {
		return err
	}
	in.phase = finished
	return nil
}

func (in *incoming) verify() error {
	view, err := in.state.Read(math.MaxUint64)
	if err != nil {
		return err
	}
	defer view.Close()
	var read uint64
	err = view.Versions(func(store.Mutation) error {
		read++
		return nil
	})
	if err == nil && read != in.written {
		err = fmt.Errorf("badgerstore: %s: %d versions were received, %d can be read: %w", in.state.dir, in.written, read, store.ErrCorrupt)
	}
	return err
}

// Abort implements store.Incoming.
func (in *incoming) Abort() error { return in.drop() }

func (in *incoming) drop() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase == gone {
		return nil
	}
	in.phase = gone
	return in.state.remove()
}

// take gives the state away, if it is finished.
func (in *incoming) take() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.phase != finished {
		return false
	}
	in.phase = gone
	return true
}
