package joining

import (
	"maps"
	"testing"
)

const a, b, c = 1, 2, 3 // node ids; b decides

func fresh(incarnation uint64) Reply {
	return Reply{Membership: Membership{Incarnation: incarnation}}
}

func member(incarnation, term uint64, leading bool, founders map[uint64]uint64) Reply {
	return Reply{Membership: Membership{Incarnation: incarnation, State: StateMember, Founders: founders}, Term: term, Leading: leading}
}

func damaged(incarnation uint64, founders map[uint64]uint64) Reply {
	return Reply{Membership: Membership{Incarnation: incarnation, State: StateDamaged, Founders: founders}}
}

// What the founders' replies to the first question allow.
func TestFirstReplies(t *testing.T) {
	whole := map[uint64]uint64{a: 11, b: 22, c: 33}
	lost := map[uint64]uint64{a: 11, b: 99, c: 33}
	for name, in := range map[string]struct {
		damaged bool
		replies map[uint64]Reply
		want    Outcome
	}{
		"all are new":                          {false, map[uint64]Reply{a: fresh(11), c: fresh(33)}, Found},
		"one does not answer":                  {false, map[uint64]Reply{a: fresh(11)}, WaitFounders},
		"founded with this node":               {false, map[uint64]Reply{a: member(11, 5, true, whole)}, Belong},
		"founded with another disk":            {false, map[uint64]Reply{a: member(11, 5, true, lost), c: fresh(33)}, WaitLeader},
		"the others are empty, one is damaged": {false, map[uint64]Reply{a: fresh(11), c: damaged(33, nil)}, WaitLeader},
		"the others are damaged":               {false, map[uint64]Reply{a: damaged(11, lost), c: damaged(33, lost)}, WaitLeader},
		"a damaged one knows this founder":     {false, map[uint64]Reply{a: damaged(11, whole), c: fresh(33)}, Belong},
		"damaged, the others are new":          {true, map[uint64]Reply{a: fresh(11), c: fresh(33)}, WaitLeader},
		"damaged, nobody answers":              {true, nil, WaitLeader},
		"all are damaged":                      {true, map[uint64]Reply{a: damaged(11, whole), c: damaged(33, whole)}, WaitLeader},
		"damaged, and known by its name":       {true, map[uint64]Reply{a: member(11, 5, true, whole), c: member(33, 5, false, whole)}, WaitLeader},
	} {
		d := Decide(Self{ID: b, Incarnation: 22, Damaged: in.damaged, Founders: 3}, in.replies, 0)
		if d.Outcome != in.want {
			t.Errorf("%s: %d, want %d", name, d.Outcome, in.want)
		}
		if d.Outcome == Found || d.Outcome == Belong {
			if d.Membership.State != StateMember || d.Membership.Incarnation != 22 || !maps.Equal(d.Membership.Founders, whole) {
				t.Errorf("%s: %+v", name, d.Membership)
			}
		}
	}
}

// A node that begins anew asks a majority of the others for their terms, and
// then waits for a leader of a later one.
func TestLeaderElectedWithoutIt(t *testing.T) {
	founders := map[uint64]uint64{a: 1, b: 99, c: 3}
	for _, isDamaged := range []bool{false, true} {
		self := Self{ID: b, Incarnation: 2, Damaged: isDamaged, Founders: 3}
		waitsForSomebody := WaitFounders
		if isDamaged {
			waitsForSomebody = WaitLeader
		}
		var after uint64
		for i, step := range []struct {
			replies map[uint64]Reply
			after   uint64
			want    Outcome
		}{
			{map[uint64]Reply{a: member(1, 5, false, founders)}, 0, WaitLeader},
			{map[uint64]Reply{c: member(3, 7, true, founders)}, 0, WaitLeader},                                    // led before: it counts on the lost log
			{map[uint64]Reply{a: member(1, 5, false, founders), c: member(3, 0, false, founders)}, 0, WaitLeader}, // c is starting
			{map[uint64]Reply{a: member(1, 5, false, founders), c: damaged(3, founders)}, 0, WaitLeader},          // c cannot tell
			{map[uint64]Reply{a: member(1, 5, false, founders), c: member(3, 7, true, founders)}, 7, WaitLeader},  // both told
			{map[uint64]Reply{c: member(3, 7, true, founders)}, 7, WaitLeader},                                    // has not handed over yet
			{nil, 7, waitsForSomebody}, // nobody answers for a while
			{map[uint64]Reply{a: member(1, 8, true, founders), c: member(3, 7, true, founders)}, 0, Begin},
		} {
			d := Decide(self, step.replies, after)
			if after = d.After; d.After != step.after || d.Outcome != step.want {
				t.Fatalf("step %d: after %d and %d, want %d and %d", i, d.After, d.Outcome, step.after, step.want)
			}
			if m := d.Membership; d.Outcome == Begin && (m.MinTerm != 8 || m.State != StateReplaced || m.Incarnation != 2 || !maps.Equal(m.Founders, founders)) {
				t.Errorf("it begins as %+v", m)
			}
		}
	}
}

// A leader hands over only if it may count on the log that is gone.
func TestHandsOver(t *testing.T) {
	for _, in := range []struct {
		after, term uint64
		leading     bool
		want        bool
	}{{0, 5, true, false}, {5, 5, true, true}, {5, 6, true, false}, {5, 5, false, false}} {
		if got := (Hello{After: in.after}).HandsOver(in.leading, in.term); got != in.want {
			t.Errorf("%+v: %v", in, got)
		}
	}
}
