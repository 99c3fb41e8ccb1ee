package sim

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// state is what the state machine was as of an entry.
type state struct {
	term     uint64
	digest   [32]byte
	revision int64
}

// agrees: a node that has the state of an entry has the same state as the others.
func (j *judge) agrees(n *node) {
	p := n.machine.Published()
	got := state{p.Term, p.Digest, p.Revision}
	j.w.report.Checks++
	if seen, ok := j.digests[p.Index]; ok && seen != got {
		j.w.fail("node %d has another state after entry %d: %+v, and %+v elsewhere", n.id, p.Index, got, seen)
	} else if !ok && p.Index > 1 {
		j.w.fail("node %d has the state of entry %d, the last that anybody has applied is %d", n.id, p.Index, j.index)
	}
}

// applies: what a node applies first is on the disks of a majority, and takes no
// revision back.
func (j *judge) applies(n *node, e mvcc.Entry, got state) {
	j.w.report.Checks++
	j.digests[e.Index] = got
	if e.Index != j.index+1 {
		j.w.fail("node %d applies entry %d, the last that anybody has applied is %d", n.id, e.Index, j.index)
	}
	if e.Index > 2 && got.revision < j.digests[e.Index-1].revision {
		j.w.fail("entry %d takes the revision back from %d to %d", e.Index, j.digests[e.Index-1].revision, got.revision)
	}
	j.durable(n, e)
}

// durable: an entry that a node takes for committed is on the disks of a
// majority, but for disks that were lost since.
func (j *judge) durable(n *node, e mvcc.Entry) {
	count := 0
	for _, other := range j.w.nodes {
		has := func(s *memstore.Store) bool { return s.Durable(e.Index, e.Term) }
		if has(other.store) || slices.ContainsFunc(other.lost, has) {
			count++
		}
	}
	if count <= len(j.w.nodes)/2 {
		j.w.fail("node %d applies entry %d, which is on the disks of %d nodes of %d", n.id, e.Index, count, len(j.w.nodes))
	}
}

// leads: there is one leader in a term at most.
func (j *judge) leads(n *node, role replica.Role) {
	if !role.Leading {
		return
	}
	j.w.report.Checks++
	if other, ok := j.leaders[role.Term]; ok && other != n.id {
		j.w.fail("nodes %d and %d both lead in term %d", other, n.id, role.Term)
	}
	j.leaders[role.Term] = n.id
}

// commits: what a node takes for committed only grows while it lives, and its
// checkpoint claims nothing that is not durable.
func (j *judge) commits(n *node) {
	j.w.report.Checks++
	if commit := n.replica.Commit(); commit < n.committed {
		j.w.fail("node %d's commit index went back from %d to %d", n.id, n.committed, commit)
	} else {
		n.committed = commit
	}
}

// crashed looks at what a node leaves on its disk.
func (j *judge) crashed(n *node) {
	n.committed = 0
	checkpoint := n.store.Log().Checkpoint()
	// At the very end of an entry only trimming writes, which may be lost.
	if ts, ok := n.store.Unsynced(); ok && ts < store.EndOf(checkpoint) {
		j.w.fail("node %d has recorded a checkpoint at entry %d, but what entry %d wrote was not synced", n.id, checkpoint, ts.Index())
	}
}

// logs: where two nodes have a committed entry, it is the same.
func (j *judge) logs() {
	seen := map[uint64][]byte{}
	for _, n := range j.w.nodes {
		log := n.store.Log()
		first, _ := log.FirstIndex()
		last, _ := log.LastIndex()
		last = min(last, j.index)
		if first > last || n.disk.rotten {
			continue
		}
		entries, err := log.Entries(first, last+1, 1<<40)
		if err != nil {
			j.w.fail("node %d cannot read its log from %d to %d: %v", n.id, first, last, err)
		}
		for _, e := range entries {
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
			n.must(err)
			if other, ok := seen[e.GetIndex()]; ok && string(other) != string(b) {
				j.w.fail("node %d has another entry %d than others", n.id, e.GetIndex())
			}
			seen[e.GetIndex()] = b
		}
	}
	j.w.report.Checks++
}

// unfinished tells what is missing of the end: nothing lives that nobody
// renews, and every node has everything.
func (j *judge) unfinished() error {
	for _, n := range j.w.nodes {
		if !n.up {
			return fmt.Errorf("node %d is down", n.id)
		}
		p := n.machine.Published()
		if p.Index != j.index || n.clock.Len() != 0 || n.outside {
			return fmt.Errorf("node %d is at entry %d with %d timers, want entry %d and none", n.id, p.Index, n.clock.Len(), j.index)
		}
	}
	return nil
}
