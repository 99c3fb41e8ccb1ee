package member

import (
	"errors"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// watched notes what happens to a state and a log.
type watched struct {
	store.State
	happened []string
	err      error
}

func (w *watched) Sync() error {
	w.happened = append(w.happened, "sync")
	return errors.Join(w.err, w.State.Sync())
}

func (w *watched) Discard(ts store.TS) {
	w.happened = append(w.happened, "discard")
	w.State.Discard(ts)
}

// checkpoint makes one of the state as it is.
func (s *solo) checkpoint() (*Checkpoint, *watched) {
	w := &watched{State: s.store.State()}
	c := NewCheckpoint(s.machine.Published(), s.store)
	c.state = w
	return c, w
}

func TestCheckpoint(t *testing.T) {
	s := newSolo(t, 1)
	s.lead()
	for i := range 20 {
		s.propose("", put(string(rune('a'+i))))
		s.step(1)
		s.settle()
	}
	c, w := s.checkpoint()
	index := c.Index()
	s.propose("", put("later"))
	s.step(1)
	s.settle()
	if !c.Needed() {
		t.Fatal("it is not needed")
	}
	if more, err := c.Sync(); !more || err != nil {
		t.Fatal(more, err)
	}
	s.log = append(s.log, c.Record(s.member, func() { w.happened = append(w.happened, "recorded") }))
	if got := s.store.Log().Checkpoint(); got != 1 {
		t.Errorf("checkpoint %d before the write", got)
	}
	s.write()
	if got := s.store.Log().Checkpoint(); got != index {
		t.Errorf("checkpoint %d is recorded, want %d", got, index)
	}
	c.Release()
	if more, err := c.Trim(s.machine); more || err != nil {
		t.Errorf("trimming: %t %v", more, err)
	}
	it := c.Truncate(s.member, replica.Retention{Entries: 3, EntryBytes: 1 << 30, Bytes: 1 << 30})
	if it == nil || it.truncate > index {
		t.Fatalf("to be truncated: %+v", it)
	}
	s.log = append(s.log, *it)
	s.write()
	if first, err := s.store.Log().FirstIndex(); err != nil || first != it.truncate+1 {
		t.Errorf("the log begins at %d: %v", first, err)
	}
	if want := []string{"sync", "recorded", "discard"}; !slices.Equal(w.happened, want) {
		t.Errorf("%v, want %v", w.happened, want)
	}
}

// Nothing is let go of, and nothing recorded, out of the order.
func TestCheckpointInOrder(t *testing.T) {
	s := newSolo(t, 1)
	s.lead()
	s.propose("", put("a"))
	s.step(1)
	s.settle()
	refused := func(what string, fn func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s is possible", what)
			}
		}()
		fn()
	}
	c, _ := s.checkpoint()
	refused("a record before the flush", func() { c.Record(s.member, nil) })
	refused("a release before the flush", func() { c.Release() })
	_, err := c.Sync()
	s.must(err)
	refused("a release before the record", func() { c.Release() })
	it := c.Record(s.member, func() {})
	refused("a release before the record is durable", func() { c.Release() })
	refused("trimming before the record is durable", func() { _, _ = c.Trim(s.machine) })
	s.log = append(s.log, it)
	s.write()
	refused("a truncation before the rest", func() { c.Truncate(s.member, replica.Retention{}) })
	c.Release()

	c, _ = s.checkpoint()
	if c.Needed() {
		t.Error("a checkpoint of what is durable is needed")
	}
	c.Release()

	s.propose("", put("b"))
	s.step(1)
	s.settle()
	c, w := s.checkpoint()
	w.err = errors.New("disk")
	if more, err := c.Sync(); more || err == nil {
		t.Errorf("a flush that failed: %t %v", more, err)
	}
	refused("a record after a flush that failed", func() { c.Record(s.member, nil) })
	c, w = s.checkpoint()
	w.err = store.ErrClosed
	if more, err := c.Sync(); more || err != nil {
		t.Errorf("a state that was exchanged: %t %v", more, err)
	}
	refused("a record of what was not flushed", func() { c.Record(s.member, nil) })
}
