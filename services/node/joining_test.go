package node

import (
	"log/slog"
	"testing"

	"github.com/kvorum/kvorum/libs/badgerstore"
)

// What a node with an empty disk makes of the founders' replies.
func TestDecide(t *testing.T) {
	const own, lost = 22, 99 // incarnations of b, which decides
	fresh := func(incarnation uint64) helloReply {
		return helloReply{Membership: badgerstore.Membership{Incarnation: incarnation}}
	}
	for name, in := range map[string]struct {
		replies func(a, b, c uint64) map[uint64]helloReply
		state   string
	}{
		"all are new":         {func(a, b, c uint64) map[uint64]helloReply { return map[uint64]helloReply{a: fresh(11), c: fresh(33)} }, stateMember},
		"one does not answer": {func(a, b, c uint64) map[uint64]helloReply { return map[uint64]helloReply{a: fresh(11)} }, ""},
		"founded with this node": {func(a, b, c uint64) map[uint64]helloReply {
			return map[uint64]helloReply{a: founded(11, map[uint64]uint64{a: 11, b: own, c: 33})}
		}, stateMember},
		"founded with another disk": {func(a, b, c uint64) map[uint64]helloReply {
			return map[uint64]helloReply{a: founded(11, map[uint64]uint64{a: 11, b: lost, c: 33}), c: fresh(33)}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j, ids := newJoining(t, own)
			if _, err := j.decide(in.replies(ids[0], ids[1], ids[2]), 0); err != nil {
				t.Fatal(err)
			}
			m := j.membership()
			if m.State != in.state {
				t.Errorf("state %q, want %q", m.State, in.state)
			}
			if m.State == stateMember && (m.Founders[ids[0]] != 11 || m.Founders[ids[1]] != own || m.Founders[ids[2]] != 33) {
				t.Errorf("founders %v", m.Founders)
			}
		})
	}
}

func founded(incarnation uint64, founders map[uint64]uint64) helloReply {
	return helloReply{Membership: badgerstore.Membership{Incarnation: incarnation, State: stateMember, Founders: founders}, Term: 5, Leading: true}
}

// A node that lost its disk sets the term after which it wants a leader only
// when a majority, not counting itself, have told theirs: fewer may not know of
// the last leader that counted on the lost log.
func TestLostMemberAsksAMajority(t *testing.T) {
	j, ids := newJoining(t, 2)
	a, c := ids[0], ids[2]
	member := func(incarnation, term uint64, leading bool) helloReply {
		m := badgerstore.Membership{Incarnation: incarnation, State: stateMember, Founders: map[uint64]uint64{a: 1, ids[1]: 99, c: 3}}
		return helloReply{Membership: m, Term: term, Leading: leading}
	}
	var after uint64
	var err error
	for i, step := range []struct {
		replies map[uint64]helloReply
		after   uint64
		state   string
	}{
		{map[uint64]helloReply{a: member(1, 5, false)}, 0, ""},
		{map[uint64]helloReply{c: member(3, 7, true)}, 0, ""},                          // led before: it counts on the lost log
		{map[uint64]helloReply{a: member(1, 5, false), c: member(3, 0, false)}, 0, ""}, // c is starting
		{map[uint64]helloReply{a: member(1, 5, false), c: member(3, 7, true)}, 7, ""},  // both told
		{map[uint64]helloReply{c: member(3, 7, true)}, 7, ""},                          // has not handed over yet
		{map[uint64]helloReply{a: member(1, 8, true), c: member(3, 8, false)}, 0, stateReplaced},
	} {
		if after, err = j.decide(step.replies, after); err != nil {
			t.Fatal(err)
		}
		if got := j.membership().State; after != step.after || got != step.state {
			t.Fatalf("step %d: after %d and %q, want %d and %q", i, after, got, step.after, step.state)
		}
	}
	if m := j.membership(); m.MinTerm != 8 {
		t.Errorf("it listens from term %d on, want 8", m.MinTerm)
	}
}

// newJoining is that of node "b" of three, with an empty disk.
func newJoining(t *testing.T, incarnation uint64) (*joining, []uint64) {
	t.Helper()
	cfg := Config{Name: "b", DataDir: t.TempDir(), Token: "t", Logger: slog.New(slog.DiscardHandler),
		Peers: []Peer{{"a", "h:1"}, {"b", "h:2"}, {"c", "h:3"}}}
	st, err := openStore(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() }) // the directory goes as well
	j := &joining{node: &Node{cfg: cfg, id: cfg.self().ID(), log: cfg.Logger}, store: st}
	if err := j.set(func(m *badgerstore.Membership) { m.Incarnation = incarnation }); err != nil {
		t.Fatal(err)
	}
	return j, []uint64{cfg.Peers[0].ID(), cfg.Peers[1].ID(), cfg.Peers[2].ID()}
}
