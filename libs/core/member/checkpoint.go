package member

import (
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Checkpoint makes the state durable as it was published, records that, and only
// then lets go of what the record makes unnecessary. Its owner takes the steps in
// this order, one checkpoint at a time:
//
//	c := NewCheckpoint(p, st)      // p was published before
//	if c.Needed() {
//		more, err := c.Sync()      // takes long; an error ends the node
//		item := c.Record(m, done)  // in a step of m: to the log's queue
//		                           // wait for done
//	}
//	c.Release()
//	more, err := c.Trim(machine)   // between two applies, as long as there is more
//	item := c.Truncate(m, keep)    // in a step of m: to the log's queue, if not nil
//
// A step out of its order is a mistake of the owner, and panics.
type Checkpoint struct {
	p     *mvcc.Published
	state store.State
	log   store.Log
	stage stage
}

// stage is the step that comes next.
type stage int

const (
	toSync stage = iota
	toRecord
	recording
	toTrim
	toTruncate
	ended
)

// trimMax is how many change records are removed between two applies.
const trimMax = 2000

// NewCheckpoint begins with a state as it was published before the call: the
// state that is made durable is then at least as new, even if it is exchanged
// for a received one meanwhile.
func NewCheckpoint(p *mvcc.Published, st store.Node) *Checkpoint {
	c := &Checkpoint{p: p, state: st.State(), log: st.Log()}
	if mutant.Is(mutant.DiscardBeforeCheckpoint) {
		c.state.Discard(p.DiscardTS)
	}
	return c
}

// Index is up to where the state is made durable.
func (c *Checkpoint) Index() uint64 { return c.p.Index }

// Needed reports whether there is anything that the last checkpoint did not make
// durable. Otherwise Release is the next step.
func (c *Checkpoint) Needed() bool {
	if c.p.Index > c.log.Checkpoint() {
		return true
	}
	c.advance(toSync, toTrim)
	return false
}

// Sync makes the state durable. more is false where nothing else is to be done:
// the state was exchanged, and the new one was durable as it came.
func (c *Checkpoint) Sync() (more bool, err error) {
	c.advance(toSync, toRecord)
	if mutant.Is(mutant.CheckpointBeforeSync) {
		return true, nil
	}
	switch err := c.state.Sync(); {
	case errors.Is(err, store.ErrClosed):
		c.stage = ended
		return false, nil
	case err != nil:
		c.stage = ended
		return false, fmt.Errorf("making the state durable: %w", err)
	}
	return true, nil
}

// Record is the item that records the checkpoint. done is called once the record
// is durable, by Write.Do. It is called in a step, because what m has not written
// of the commit index goes along.
func (c *Checkpoint) Record(m *Member, done func()) LogItem {
	c.advance(toRecord, recording)
	b := store.Batch{Hard: m.hard, Checkpoint: c.p.Index}
	m.hard = nil
	return LogItem{sync: true, batch: b, done: func() {
		c.advance(recording, toTrim)
		done()
	}}
}

// Release permits the state to drop what only an older checkpoint needed.
func (c *Checkpoint) Release() {
	c.advance(toTrim, toTrim)
	c.state.Discard(c.p.DiscardTS)
}

// Trim removes some of the history below the compaction, and tells whether there
// is more.
func (c *Checkpoint) Trim(machine *mvcc.Machine) (more bool, err error) {
	c.advance(toTrim, toTrim)
	if more, err = machine.Trim(trimMax); err != nil {
		return false, fmt.Errorf("trimming the history: %w", err)
	}
	if !more {
		c.stage = toTruncate
	}
	return more, nil
}

// Truncate is the item that forgets the log as far as the checkpoint and keep
// allow; nil for nothing.
func (c *Checkpoint) Truncate(m *Member, keep replica.Retention) *LogItem {
	c.advance(toTruncate, ended)
	index := m.Replica.PlanTruncate(keep)
	if first, err := c.log.FirstIndex(); err != nil || index < first {
		return nil
	}
	return &LogItem{truncate: index}
}

func (c *Checkpoint) advance(from, to stage) {
	if c.stage != from {
		panic(fmt.Sprintf("member: step %d of a checkpoint where %d comes next", from, c.stage))
	}
	c.stage = to
}
