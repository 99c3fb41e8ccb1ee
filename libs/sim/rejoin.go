package sim

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// helloEvery is how often a node without data greets the others.
const helloEvery = 100 * ms

// bootstrap is what the founders begin behind.
func (w *world) bootstrap() *raftpb.SnapshotMetadata {
	one := uint64(1)
	conf := &raftpb.ConfState{}
	for i := range w.o.Nodes {
		conf.Voters = append(conf.Voters, uint64(i+1))
	}
	return &raftpb.SnapshotMetadata{ConfState: conf, Index: &one, Term: &one}
}

// founders are the incarnations that the cluster was founded with.
func (w *world) founders() map[uint64]uint64 {
	all := map[uint64]uint64{}
	for id := range uint64(w.o.Nodes) {
		all[id+1] = id + 1
	}
	return all
}

// rejoin is a node without usable data that wants to be a member again.
type rejoin struct {
	n       *node
	damaged bool // its data is there, and wrong
	born    uint64
	after   uint64
	replies map[uint64]joining.Reply
}

// wipe takes what the node has on its disk, or makes it worthless.
func (n *node) wipe(damaged bool) {
	if n.up {
		n.crash(false)
	}
	n.lost = append(n.lost, n.store)
	n.membership = joining.Membership{}
	r := &rejoin{n: n, damaged: damaged, born: uint64(1_000_000 + n.w.id())}
	n.rejoining = r
	n.w.after(n.w.between(50, 5000), r.again)
}

// again greets the others, and decides on the replies that have come in since
// the last time.
func (r *rejoin) again() {
	n, w := r.n, r.n.w
	if n.rejoining != r {
		return
	}
	self := joining.Self{ID: n.id, Incarnation: r.born, Damaged: r.damaged, Founders: len(w.nodes)}
	d := joining.Decide(self, r.replies, r.after)
	if d.Outcome == joining.Begin {
		w.tell("node %d begins anew in term %d", n.id, d.Membership.MinTerm)
		n.membership, n.rejoining = d.Membership, nil
		n.store = memstore.New(w.bootstrap())
		n.disk.rotten = false
		n.store.Fail(n.disk.fault)
		w.restart(n)
		return
	}
	if d.Outcome != joining.WaitLeader && d.Outcome != joining.WaitFounders {
		w.fail("node %d, which has lost its data, is told %d", n.id, d.Outcome)
	}
	r.after, r.replies = d.After, map[uint64]joining.Reply{}
	for _, other := range w.nodes {
		if other != n {
			r.greet(other)
		}
	}
	w.after(helloEvery, r.again)
}

// greet asks another founder what it knows, past the peers' queues but not over
// links that are cut.
func (r *rejoin) greet(other *node) {
	n, w := r.n, r.n.w
	hello := joining.Hello{Node: n.id, Incarnation: r.born, After: r.after}
	cut := func() bool { return w.net.IsCut(cluster, n.id, other.id) || w.net.IsCut(cluster, other.id, n.id) }
	w.after(w.between(0, 3), func() {
		if cut() || n.outside || other.outside {
			return
		}
		other.arrive(func() {
			reply := joining.Reply{Membership: other.membership, Term: other.role.Term, Leading: other.role.Leading}
			if hello.HandsOver(reply.Leading, reply.Term) {
				other.replica.HandOver(n.id)
			}
			w.after(w.between(0, 3), func() {
				if n.rejoining == r && !cut() {
					r.replies[other.id] = reply
				}
			})
		})
	})
}

// vouch waits until a node that began anew has applied all that was committed
// when it asked, and makes it a full member: on its disk before it votes.
func (n *node) vouch() {
	if n.membership.State != joining.StateReplaced {
		return
	}
	again := func() { n.later(helloEvery, n.vouch) }
	n.call(func() {
		n.read(&request{refuse: again, done: func() {
			if n.membership.State == joining.StateReplaced {
				n.w.tell("node %d takes part in elections again", n.id)
				n.membership.State, n.membership.MinTerm = joining.StateMember, n.role.Term
				n.call(func() { n.replica.Vouch() })
			}
		}})
	})
}

// unsound: the node has lost data that it had confirmed and has not got all of it
// again, or something on its disk is damaged.
func (n *node) unsound() bool { return n.membership.State != joining.StateMember || n.disk.rotten }

// mayLose reports whether another node may lose its data: a majority stays sound.
func (m *nemesis) mayLose(n *node) bool {
	unsound := 0
	for _, other := range m.w.nodes {
		unsound += one(other.unsound())
	}
	return !n.unsound() && unsound < (len(m.w.nodes)-1)/2
}

// lostDisk leaves a node with an empty disk.
func (m *nemesis) lostDisk(n *node) bool {
	if !m.mayLose(n) {
		return false
	}
	m.w.tell("node %d loses its disk", n.id)
	n.wipe(false)
	return true
}

// bitRot damages something on a node's disk. Where nobody reads it, a scrub
// finds it.
func (m *nemesis) bitRot(n *node) bool {
	if !m.mayLose(n) {
		return false
	}
	what := n.store.Rot(m.w.rng, m.w.chance(30))
	if what == "" {
		return false
	}
	m.w.tell("node %d's disk damages %s", n.id, what)
	n.disk.rotten = true
	m.w.after(m.w.between(3000, 20_000), func() { m.w.scrub(n) })
	return true
}

// scrub reads all that a node has on its disk.
func (w *world) scrub(n *node) {
	if !n.disk.rotten || n.rejoining != nil {
		return
	}
	if n.paused || !n.up {
		w.after(1000*ms, func() { w.scrub(n) })
		return
	}
	n.guard(func() { n.must(n.store.Scrub()) })
	if n.up {
		w.tell("node %d's disk is whole: what was damaged was written again, or is not needed any more", n.id)
		n.disk.rotten = false
	}
}
