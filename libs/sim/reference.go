package sim

import (
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// reference applies every entry once, alone, and never fails: what nodes make of
// the same entries, in runs of any length and more than once, is compared with
// its state.
type reference struct {
	state   store.State
	machine *mvcc.Machine
	let     store.TS // what was let go of
}

func newReference() *reference {
	st := memstore.New(nil).State()
	m, err := mvcc.Open(st, 1)
	if err != nil {
		panic("sim: open an empty state: " + err.Error())
	}
	return &reference{state: st, machine: m}
}

// reached takes that a node has applied tasks.
func (j *judge) reached(n *node, tasks []*replica.ApplyTask) {
	for _, t := range tasks {
		for _, c := range t.Entries {
			j.w.fold(n.id, c.Entry.GetIndex(), uint64(j.w.now))
			if c.Entry.GetIndex() <= j.index {
				continue
			}
			e, err := member.Decode(c.Entry)
			n.must(err)
			if e.Index != j.index+1 {
				j.w.fail("node %d applies entry %d, the last that anybody has applied is %d", n.id, e.Index, j.index)
			}
			a, err := j.ref.machine.Apply([]mvcc.Entry{e})
			if err != nil {
				j.w.fail("entry %d: %v", e.Index, err)
			}
			p := j.ref.machine.Published()
			j.applied(n, e, a, state{p.Term, p.Digest, p.Revision})
		}
	}
	j.agrees(n)
	j.ref.forget()
}

// forget lets go of what was compacted.
func (r *reference) forget() {
	p := r.machine.Published()
	if p.DiscardTS == r.let {
		return
	}
	r.let = p.DiscardTS
	r.state.Discard(p.DiscardTS)
	if _, err := r.machine.Trim(1 << 30); err != nil {
		panic("sim: trim the reference: " + err.Error())
	}
}
