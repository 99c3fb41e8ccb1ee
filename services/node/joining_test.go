package node

import (
	"log/slog"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/badgerstore"
)

// What a node with an empty disk makes of the founders' replies.
func TestDecide(t *testing.T) {
	peers := []Peer{{"a", "a:1"}, {"b", "b:1"}, {"c", "c:1"}}
	a, b, c := peers[0].ID(), peers[1].ID(), peers[2].ID()
	const own, lost = 11, 99 // incarnations of a
	fresh := func(incarnation uint64) helloReply {
		return helloReply{Membership: badgerstore.Membership{Incarnation: incarnation}}
	}
	member := func(incarnation, ofA, term uint64, leads bool) helloReply {
		m := badgerstore.Membership{Incarnation: incarnation, State: stateMember, Founders: map[uint64]uint64{a: ofA, b: 22, c: 33}}
		return helloReply{Membership: m, Term: term, Leading: leads}
	}
	for name, in := range map[string]struct {
		replies map[uint64]helloReply
		after   uint64
		state   string
		next    uint64
		minTerm uint64
	}{
		"all are new":                       {map[uint64]helloReply{b: fresh(22), c: fresh(33)}, 0, stateMember, 0, 0},
		"one does not answer":               {map[uint64]helloReply{b: fresh(22)}, 0, "", 0, 0},
		"founded with this node":            {map[uint64]helloReply{b: member(22, own, 5, true)}, 0, stateMember, 0, 0},
		"founded with another disk":         {map[uint64]helloReply{b: member(22, lost, 5, true), c: member(33, lost, 5, false)}, 0, "", 5, 0},
		"a leader of before":                {map[uint64]helloReply{b: member(22, lost, 5, true)}, 5, "", 5, 0},
		"a later leader that does not lead": {map[uint64]helloReply{b: member(22, lost, 6, false)}, 5, "", 5, 0},
		"a leader elected since":            {map[uint64]helloReply{b: member(22, lost, 6, true)}, 5, stateReplaced, 0, 6},
		"one is new, one has data":          {map[uint64]helloReply{b: fresh(222), c: member(33, lost, 5, true)}, 0, "", 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			one := uint64(1)
			st, err := badgerstore.Open(badgerstore.Config{Dir: t.TempDir(), Identity: badgerstore.Identity{ClusterID: 1, NodeID: a, Name: "a"},
				Bootstrap: &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{Voters: []uint64{a, b, c}}, Index: &one, Term: &one}})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			n := &Node{cfg: Config{Name: "a", Peers: peers}, id: a, log: slog.New(slog.DiscardHandler)}
			j := &joining{node: n, store: st}
			if err := j.set(func(m *badgerstore.Membership) { m.Incarnation = own }); err != nil {
				t.Fatal(err)
			}
			next, err := j.decide(in.replies, in.after)
			m := j.membership()
			if err != nil || next != in.next || m.State != in.state || m.MinTerm != in.minTerm {
				t.Errorf("state %q, next %d, min term %d (%v)", m.State, next, m.MinTerm, err)
			}
			if m.State == stateMember && (m.Founders[a] != own || m.Founders[b] != 22 || m.Founders[c] != 33) {
				t.Errorf("founders %v", m.Founders)
			}
		})
	}
}
