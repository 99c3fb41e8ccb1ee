package sim

import (
	"errors"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
)

// drift lets clocks run at new rates.
func (w *world) drift() {
	for _, n := range w.nodes {
		n.time.run(w.now, w.rng.Int64N(2*w.o.ClockPPM+1)-w.o.ClockPPM)
	}
	if w.o.ClockPPM > 0 {
		w.after(w.between(1000, 20_000), w.drift)
	}
}

// upkeep is what a node does all the time.
func (w *world) upkeep(n *node) {
	if n.whole() {
		n.guard(n.checkpoint)
	}
	w.after(w.o.CheckpointMillis*ms+w.between(0, w.o.CheckpointMillis/4+1), func() { w.upkeep(n) })
}

// inspect looks at what no message tells.
func (w *world) inspect() {
	w.judge.inspect()
	w.after(w.between(200, 1000), w.inspect)
}

// compact lets go of history, as a retention by revisions does.
func (w *world) compact() {
	if n := w.leader(); n != nil && n.whole() && !w.ending {
		p := n.machine.Published()
		if to := p.Revision - w.o.KeepRevisions; to > p.Compacted+w.o.KeepRevisions/10 {
			c := &command.Command{Op: &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: to}}}
			n.arrive(func() {
				n.write(c, &request{applied: func(res mvcc.Result) { w.report.Compactions++ }, refuse: func() {}})
			})
		}
	}
	w.after(w.between(500, 2000), w.compact)
}

// halt is what a node's step panics with where the node stops.
type halt struct{ err error }

// guard runs something of a node's. Where it finds that the node must stop, the
// node does, wherever it was.
func (n *node) guard(do func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if h, ok := v.(halt); ok {
			n.fail(h.err)
			return
		}
		if _, ok := v.(violation); !ok && n.damage != nil {
			// Raft has no other way to say that it cannot read its log.
			n.fail(n.damage)
			return
		}
		panic(v)
	}()
	do()
}

// watchedLog tells of damage that raft meets, as the storage node's does.
type watchedLog struct {
	store.Log
	n *node
}

// Entries implements raft.Storage.
func (l watchedLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	entries, err := l.Log.Entries(lo, hi, maxSize)
	if errors.Is(err, store.ErrCorrupt) {
		l.n.damage = err
	}
	return entries, err
}
