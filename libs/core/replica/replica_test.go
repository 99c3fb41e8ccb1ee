package replica_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// A cluster under random faults never loses an acknowledged command, never
// serves a stale read, and goes on once it is healed.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { randomFaults(t, seed) })
	}
}

func randomFaults(t *testing.T, seed uint64) {
	c := newCluster(t, seed, 3+2*int(seed%2))
	c.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: 4 * ms, Loss: 0.02, Duplicate: 0.02})
	for i := range 4000 {
		n := c.nodes[c.ids[c.rng.IntN(len(c.ids))]]
		switch p := c.rng.IntN(1000); {
		case p < 4 && n.replica != nil && c.up() > len(c.ids)/2+1:
			n.crash()
		case p < 20 && n.replica == nil:
			n.start()
		case p < 22:
			c.net.Cut(clusterID, n.id, c.ids[c.rng.IntN(len(c.ids))])
		case p < 32:
			c.net.HealAll()
			for _, m := range c.nodes {
				m.hung = false
			}
		case p < 36:
			n.hung = !n.hung
		case p < 60 && n.replica != nil:
			n.retain = replica.Retention{Entries: 5, EntryBytes: 1 << 10, Bytes: 1 << 10}
			n.checkpoint()
		case p < 500 && n.replica != nil && (n.role.Serving || c.rng.IntN(8) == 0):
			n.propose(fmt.Sprint("c", i))
		case p < 700 && n.replica != nil:
			n.read()
		}
		c.run(ms * int64(c.rng.IntN(8)))
	}
	c.net.HealAll()
	c.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: ms})
	for _, id := range c.ids {
		if n := c.nodes[id]; n.replica == nil {
			n.start()
		} else {
			n.hung = false
		}
	}
	c.until("a leader after the faults", func() bool { return c.leader() != nil })
	c.until("a write after the faults", func() bool {
		if l := c.leader(); l != nil {
			l.propose("last")
		}
		c.run(20 * ms)
		return c.acked["last"] > 0
	})
	c.until("every node has caught up", func() bool {
		for _, id := range c.ids {
			if c.nodes[id].applied < c.highest {
				return false
			}
		}
		return true
	})
	for name, index := range c.acked {
		if _, ok := c.log[index]; !ok {
			t.Fatalf("%s was acknowledged at %d and is not in the log", name, index)
		}
	}
	t.Logf("acknowledged %d, refused %d, unknown %d, reads %d, terms %d, snapshots %d", len(c.acked), c.refused, c.unknown, c.reads, len(c.leaders), c.snapshots)
	if len(c.acked) < 10 || c.reads < 10 {
		t.Fatalf("the run shows nothing: %d acknowledged, %d reads", len(c.acked), c.reads)
	}
}

func (c *cluster) up() (n int) {
	for _, id := range c.ids {
		if c.nodes[id].replica != nil {
			n++
		}
	}
	return n
}

// healthy is a cluster with a leader that has served a write.
func healthy(t *testing.T, size int) *cluster {
	c := newCluster(t, 42, size)
	c.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: ms / 2})
	c.until("a leader", func() bool { return c.leader() != nil })
	c.leader().propose("first")
	c.until("the first write", func() bool { return c.acked["first"] > 0 })
	return c
}

// The death of a leader whose connections close is noticed at once, long
// before an election timeout.
func TestDeadLeaderIsReplacedAtOnce(t *testing.T) {
	c := healthy(t, 3)
	died := c.now
	c.leader().crash()
	c.until("another leader", func() bool { return c.leader() != nil })
	if took := c.now - died; took > 300*ms {
		t.Fatalf("it took %d virtual ms", took/ms)
	}
}

// A leader that hangs with its connections open is replaced after one election
// timeout; one that only pauses stays.
func TestSilentLeaderIsReplaced(t *testing.T) {
	c := healthy(t, 3)
	for range 5 {
		c.until("a leader", func() bool { return c.leader() != nil })
		old := c.leader()
		term := old.role.Term
		old.asleep = true
		c.run(800 * ms)
		old.asleep = false
		c.run(3000 * ms)
		if old.role.Term != term || !old.role.Serving {
			t.Fatalf("a pause deposed the leader of term %d: %+v", term, old.role)
		}
		old.asleep = true
		began := c.now
		c.until("another leader", func() bool {
			return slices.ContainsFunc(c.ids, func(id uint64) bool { return id != old.id && c.nodes[id].role.Serving })
		})
		if took := c.now - began; took > 1200*ms {
			t.Fatalf("it took %d virtual ms", took/ms)
		}
		old.asleep = false
		c.until("the old one to follow", func() bool { return !old.role.Leading })
	}
}

// A wrong hint does not depose a live leader.
func TestWrongHintIsHarmless(t *testing.T) {
	c := healthy(t, 3)
	leader, term := c.leader(), c.leader().role.Term
	for _, id := range c.ids {
		if id != leader.id {
			c.nodes[id].replica.PeerLost(leader.id)
			break
		}
	}
	c.run(3000 * ms)
	if leader.role.Term != term || !leader.role.Serving {
		t.Fatalf("the leader of term %d is now %+v", term, leader.role)
	}
}

// A leader whose disk hangs gives the leadership up while it is still alive.
func TestHungDiskLosesLeadership(t *testing.T) {
	c := healthy(t, 3)
	old := c.leader()
	old.hung = true
	old.propose("stuck")
	c.until("another leader", func() bool { l := c.leader(); return l != nil && l != old })
	c.leader().propose("unstuck")
	c.until("a write elsewhere", func() bool { return c.acked["unstuck"] > 0 })
	if old.role.Serving {
		t.Fatal("the node with the hung disk still serves")
	}
}

// An isolated leader stops serving within quorumSilence, and its reads are
// refused, not answered.
func TestIsolatedLeaderServesNothing(t *testing.T) {
	c := healthy(t, 3)
	old := c.leader()
	for _, id := range c.ids {
		c.net.Cut(clusterID, old.id, id)
		c.net.Cut(clusterID, id, old.id)
	}
	served := c.reads
	old.read()
	c.run(600 * ms)
	if old.role.Serving {
		t.Fatal("it serves writes 600 ms after it was cut off")
	}
	c.run(3000 * ms)
	if c.reads != served {
		t.Fatal("it answered a linearizable read")
	}
	before := c.refused
	old.propose("lost")
	c.run(10 * ms)
	if c.refused != before+1 {
		t.Fatal("a write to it was not refused")
	}
}

// A follower that was away while the log was truncated is brought back by a
// snapshot.
func TestSnapshotAfterTruncation(t *testing.T) {
	c := healthy(t, 3)
	var away *node
	for _, id := range c.ids {
		if c.nodes[id] != c.leader() {
			away = c.nodes[id]
		}
	}
	away.crash()
	for i := range 200 {
		c.leader().propose(fmt.Sprint("while away ", i))
		c.run(10 * ms)
	}
	c.run(3000 * ms)
	for _, id := range c.ids {
		if n := c.nodes[id]; n != away {
			n.retain = replica.Retention{Entries: 5, EntryBytes: 0, Bytes: 0}
			n.checkpoint()
		}
	}
	away.start()
	last := c.highest
	c.until("it has caught up", func() bool {
		// Written and truncated meanwhile: what the snapshot's receiver needs
		// next must be kept.
		c.leader().propose(fmt.Sprint("meanwhile ", c.now))
		c.leader().checkpoint()
		c.run(5 * ms)
		return away.applied >= last
	})
	c.until("it has all that was written meanwhile", func() bool { return away.applied >= c.highest })
	if c.snapshots != 1 {
		t.Fatalf("%d snapshots were installed, want 1", c.snapshots)
	}
}

// A node that was the only voter must not answer from before its own term.
func TestSingleVoter(t *testing.T) {
	c := healthy(t, 1)
	n := c.leader()
	for i := range 20 {
		n.propose(fmt.Sprint(i))
		n.read()
		c.run(5 * ms)
	}
	n.crash()
	n.start()
	n.read()
	c.until("the read", func() bool { return c.reads == 21 })
}

// Commands that wait together share an entry.
func TestGroupCommit(t *testing.T) {
	c := healthy(t, 3)
	l := c.leader()
	for i := range 500 {
		l.propose(fmt.Sprint("p", i))
	}
	c.until("all", func() bool { return len(c.acked) == 501 })
	if a, b := c.acked["p0"], c.acked["p499"]; b-a > 1 {
		t.Fatalf("500 commands took the entries %d to %d", a, b)
	}
}

// A follower's read whose message is lost is asked again, since raft does not.
func TestLostReadIsAskedAgain(t *testing.T) {
	c := healthy(t, 3)
	leader := c.leader()
	follower := c.nodes[c.ids[0]]
	if follower == leader {
		follower = c.nodes[c.ids[1]]
	}
	c.net.Cut(clusterID, follower.id, leader.id)
	follower.read()
	c.run(100 * ms)
	c.net.HealAll()
	served := c.reads
	c.run(500 * ms)
	if c.reads != served+1 {
		t.Fatal("the read was not answered")
	}
}

// A replaced node gives no vote and does not stand for election until it is
// vouched for, and then gives none in the terms that it may have voted in.
func TestReplacedNodeGivesNoVote(t *testing.T) {
	c := newCluster(t, 42, 3)
	n := c.nodes[1]
	n.replaced, n.minTerm = true, 5
	n.start()
	vote := func(from, term uint64) bool {
		index, logTerm, to := uint64(10), uint64(1), n.id
		n.replica.Receive(from, []*raftpb.Message{{Type: raftpb.MsgVote.Enum(), From: &from, To: &to, Term: &term, Index: &index, LogTerm: &logTerm}})
		for _, m := range n.effects().Remote {
			if m.GetType() == raftpb.MsgVoteResp && !m.GetReject() {
				return true
			}
		}
		return false
	}
	if vote(2, 7) {
		t.Error("it voted while it was replaced")
	}
	for range 100 {
		c.now += 100 * ms
		n.replica.Advance(c.now)
		if e := n.replica.Effects(); len(e.Send) > 0 {
			t.Fatalf("it stands for election: %v", e.Send)
		}
	}
	n.replica.Vouch()
	if vote(2, 1) {
		t.Error("it voted in a term of before")
	}
	if !vote(2, 8) {
		t.Error("it does not vote any more")
	}
}

// However much waits, the disk gets it in writes that it can answer in time: a
// leader that is only busy does not lose its leadership.
func TestWritesAreBounded(t *testing.T) {
	c := healthy(t, 3)
	l := c.leader()
	big := func(i int) string { return fmt.Sprint("big", i, strings.Repeat("x", 1<<20)) }
	for i := range 32 {
		l.propose(big(i))
	}
	c.until("all of them", func() bool {
		for _, d := range l.disk {
			size := 0
			for _, e := range d.task.Entries {
				size += len(e.GetData())
			}
			if size > 6<<20 {
				t.Fatalf("%d MiB are one write of the log", size>>20)
			}
		}
		return c.acked[big(31)] > 0
	})
}

// A read that is bound to a leadership is confirmed by no other: what was recorded
// under it, another leader has not heard of.
func TestReadOfALeadership(t *testing.T) {
	c := healthy(t, 3)
	old := c.leader()
	term := old.role.Term
	for _, id := range c.ids {
		c.net.Cut(clusterID, old.id, id)
		c.net.Cut(clusterID, id, old.id)
	}
	served := c.reads
	far := c.now + 60_000*ms
	old.replica.Read(replica.Read{Deadline: far, Tag: uint64(0)})
	old.replica.Read(replica.Read{Deadline: far, Term: term, Tag: uint64(0)})
	c.until("another leader", func() bool { l := c.leader(); return l != nil && l != old && l.role.Serving })
	if c.reads != served {
		t.Fatal("it answered a linearizable read")
	}
	c.net.HealAll()
	c.until("the free read", func() bool { return c.reads > served })
	c.run(1000 * ms)
	if c.reads != served+1 || old.role.Term == term {
		t.Errorf("%d reads are confirmed in term %d, want one", c.reads-served, old.role.Term)
	}
	l := c.leader()
	served = c.reads
	l.replica.Read(replica.Read{Deadline: far, Term: l.role.Term, Tag: uint64(0)})
	c.until("a read of the leadership", func() bool { return c.reads > served })
}

// Of the entries that every node keeps, only so many bytes stay.
func TestKeptEntriesAreBounded(t *testing.T) {
	c := healthy(t, 3)
	n := c.leader()
	for i := range 50 {
		n.propose(fmt.Sprint(i))
		c.run(5 * ms)
	}
	c.until("all", func() bool { return len(n.disk) == 0 })
	first := func() uint64 {
		n.checkpoint()
		index, err := n.store.Log().FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	n.retain = replica.Retention{Entries: 1000, Bytes: 1 << 30}
	all := first()
	n.retain.EntryBytes = 500
	if now := first(); now < all+20 {
		t.Errorf("the log began at %d and now at %d", all, now)
	}
}
