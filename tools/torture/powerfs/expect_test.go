//go:build linux

package powerfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/store"
)

// expectation is what a store must hold: all that was acknowledged, and before or
// after the one event that was not.
type expectation struct {
	terms       map[uint64]uint64 // of the entries, by index
	last        uint64
	term        uint64 // of the hard state
	commit      uint64
	checkpoint  uint64
	incarnation uint64
	doubt       *event
}

func newExpectation() *expectation {
	return &expectation{terms: make(map[uint64]uint64), last: 1, checkpoint: 1} // as founded
}

func (x *expectation) see(line string) error {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	switch {
	case e.Kind == "open" && !e.Done:
		// What was in doubt still is.
	case e.Kind == "open":
		return x.settle(func(outcome expectation) error {
			read := event{Kind: "open", Done: true, Last: outcome.last, Term: outcome.term,
				Commit: outcome.commit, Checkpoint: outcome.checkpoint, Incarnation: outcome.incarnation}
			if e != read {
				return fmt.Errorf("the child has read %+v instead of %+v", e, read)
			}
			return nil
		})
	case !e.Done:
		x.doubt = &e
	default:
		x.doubt = nil
		x.do(e)
	}
	return nil
}

// settle finds the outcome that is ok, which is what must be there from now on.
func (x *expectation) settle(ok func(expectation) error) (err error) {
	for _, outcome := range x.outcomes() {
		if err = ok(outcome); err == nil {
			outcome.doubt = nil
			*x = outcome
			return nil
		}
	}
	return fmt.Errorf("%w (interrupted: %+v)", err, x.doubt)
}

func (x *expectation) do(e event) {
	switch e.Kind {
	case "append":
		for i := e.First; i <= e.Last; i++ {
			x.terms[i] = e.Term
		}
		x.last, x.term, x.commit, x.checkpoint = e.Last, e.Term, e.Commit, max(x.checkpoint, e.Checkpoint)
	case "install":
		clear(x.terms)
		x.last, x.term, x.commit, x.checkpoint = e.Last, e.Term, e.Commit, e.Last
	case "membership":
		x.incarnation = e.Incarnation
	}
}

// outcomes are what the store may hold after the doubted event was interrupted.
func (x *expectation) outcomes() []expectation {
	all := []expectation{*x}
	if x.doubt == nil {
		return all
	}
	e := *x.doubt
	if e.Kind != "append" {
		after := *x
		after.terms = maps.Clone(x.terms)
		after.do(e)
		return append(all, after)
	}
	// A prefix of the batch, at least with the entries that it replaces removed,
	// with the commit index as far as there are entries.
	for last := e.First - 1; last <= e.Last; last++ {
		after := *x
		after.terms = maps.Clone(x.terms)
		part := e
		part.Last, part.Commit = last, min(e.Commit, last)
		if last < e.Last {
			part.Checkpoint = 0
		}
		after.do(part)
		all = append(all, after)
	}
	return all
}

// check opens the store in dir, which is a copy, and looks for everything.
func (x *expectation) check(dir string) (err error) {
	s, err := badgerstore.Open(storeConfig(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := x.settle(func(outcome expectation) error { return outcome.checkLog(s) }); err != nil {
		return err
	}
	checkpoint := s.Log().Checkpoint()
	if err := checkState(s.State(), checkpoint); err != nil {
		return fmt.Errorf("as of the checkpoint: %w", err)
	}
	hard, _, err := s.Log().InitialState()
	if err != nil {
		return err
	}
	commit := max(checkpoint, hard.GetCommit())
	if err := applyTo(s.State(), checkpoint+1, commit); err != nil {
		return err
	}
	if err := checkState(s.State(), commit); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	return s.Scrub(nil)
}

func (x *expectation) checkLog(s *badgerstore.Store) error {
	log := s.Log()
	first, err1 := log.FirstIndex()
	last, err2 := log.LastIndex()
	hard, _, err3 := log.InitialState()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	switch {
	case last != x.last:
		return fmt.Errorf("the log ends at %d instead of %d", last, x.last)
	case hard.GetCommit() != x.commit:
		return fmt.Errorf("commit %d instead of %d", hard.GetCommit(), x.commit)
	case hard.GetTerm() != x.term:
		return fmt.Errorf("term %d instead of %d", hard.GetTerm(), x.term)
	case log.Checkpoint() != x.checkpoint:
		return fmt.Errorf("checkpoint %d instead of %d", log.Checkpoint(), x.checkpoint)
	case first > x.checkpoint+1:
		return fmt.Errorf("the log begins at %d, behind the checkpoint %d", first, x.checkpoint)
	case s.Membership().Incarnation != x.incarnation:
		return errors.New("another membership")
	case first > last:
		return nil
	}
	entries, err := log.Entries(first, last+1, math.MaxUint64)
	if err != nil {
		return err
	}
	for i, e := range entries {
		index := first + uint64(i)
		if e.GetIndex() != index || e.GetTerm() != x.terms[index] || !bytes.Equal(e.GetData(), dataOf(index, x.terms[index])) {
			return fmt.Errorf("entry %d of term %d is not the one of term %d that was written", e.GetIndex(), e.GetTerm(), x.terms[index])
		}
	}
	return nil
}

func checkState(s store.State, index uint64) error {
	v, err := s.Read(store.EndOf(index))
	if err != nil {
		return err
	}
	defer v.Close()
	for i := max(index, keys+1) - keys + 1; i <= index; i++ {
		if got, err := v.Get(keyOf(i)); err != nil || !bytes.Equal(got, valueOf(i)) {
			return fmt.Errorf("key %q as of %d: %.20q, %v", keyOf(i), index, got, err)
		}
	}
	return nil
}
