// Package joining decides how a storage node becomes a member of its cluster:
// as a founder, as the founder that it is already, or anew after it has lost
// its data or has found it damaged. It does no I/O: the node greets the other
// founders, and Decide says what their replies allow.
//
// # What it guarantees
//
// A node that voted, or confirmed entries, and then lost its data must not
// start over as if it had not: together with a node that is behind it could
// elect a leader that misses what was acknowledged. So a node without data
// asks the other founders first, and never decides alone.
//
//   - All founders have empty disks: the cluster is founded. Each notes the
//     incarnations of all, drawn when their directories were made. Hence the
//     first start needs all founders once. A node whose data is damaged is no
//     empty founder: as long as one answers, no cluster is founded.
//   - One was founded with this incarnation: so was this node.
//   - One was founded with another, or this node's data is damaged: the node
//     needs a leader that was elected after it had stopped, and therefore
//     without it; a leader of before, which still counts on the old log, hands
//     over. Under that leader the node begins anew, without taking part in
//     elections, until it has applied all that was committed when it asked.
//     Whatever it had confirmed before is in that leader's log, because the
//     others elected it.
//
// # What it does not
//
// Where a majority has no data, nothing is decided, and nothing is lost that is
// not lost already: that is for people.
package joining

import "github.com/kvorum/kvorum/libs/core/mutant"

// States of a membership. The empty one is a node that is not a member yet.
const (
	StateMember   = "member"
	StateReplaced = "replaced" // a member again, whose votes do not count yet
	// StateDamaged is never stored: it is how a node answers a Hello that has
	// stopped because of what it found in its data.
	StateDamaged = "damaged"
)

// Membership is what a data directory knows of its part in the cluster. It must
// be as durable as the votes.
type Membership struct {
	// Incarnation is drawn when the directory is made: a member that begins
	// anew has another.
	Incarnation uint64 `json:"incarnation"`
	State       string `json:"state"`
	// Founders are the incarnations with which the cluster was founded.
	Founders map[uint64]uint64 `json:"founders,omitempty"`
	// MinTerm is the least term whose messages a replaced member listens to.
	MinTerm uint64 `json:"min_term,omitempty"`
	// Reason is why a replaced member began anew, for people.
	Reason string `json:"reason,omitempty"`
}

// Hello is what a node without data asks the other founders.
type Hello struct {
	Node        uint64 `json:"node"`
	Incarnation uint64 `json:"incarnation"`
	// After, if not 0, asks for a leader of a later term.
	After uint64 `json:"after,omitempty"`
}

// Reply answers a Hello. Term is 0 while the node takes no part in consensus.
type Reply struct {
	Membership
	Term    uint64 `json:"term"`
	Leading bool   `json:"leading"`
}

// HandsOver reports whether a leader of this term hands over because of h: it
// may count on what the node that asks had confirmed and has no longer.
func (h Hello) HandsOver(leading bool, term uint64) bool {
	return h.After > 0 && leading && term <= h.After
}

// Self is the node that decides.
type Self struct {
	ID, Incarnation uint64
	// Damaged: it has data, and found it damaged.
	Damaged bool
	// Founders is how many nodes found the cluster, this one included.
	Founders int
}

// Outcome is what a node is to do.
type Outcome int

// The outcomes.
const (
	WaitFounders Outcome = iota // ask again: not all founders have answered
	WaitLeader                  // ask again: no leader was elected without this node yet
	Found                       // be a founding member
	Belong                      // be the founding member that it was already
	Begin                       // begin anew as a replaced member
)

// Decision is an Outcome and what it takes.
type Decision struct {
	Outcome Outcome
	// Membership is to be stored before the node goes on; only with Found,
	// Belong and Begin.
	Membership Membership
	// After is what the next Hello asks for, and the next Decide is given.
	After uint64
}

// Decide says what the replies to a Hello allow. after is the last decision's.
//
// A node that begins anew sets the term after which it wants a leader only when
// a majority, not counting itself, have told theirs: fewer may not know of the
// last leader that counted on the lost log. From then on it stays, whoever is
// silent for a while: each later one would cost the others another election.
func Decide(self Self, replies map[uint64]Reply, after uint64) Decision {
	all := map[uint64]uint64{self.ID: self.Incarnation}
	var known map[uint64]uint64
	var leader Reply // of the latest term
	founded, members, highest := self.Damaged, 0, uint64(0)
	for id, r := range replies {
		all[id] = r.Incarnation
		if r.State == "" {
			continue
		}
		founded = true
		if r.Founders != nil {
			known = r.Founders
		}
		if r.Leading && r.Term > leader.Term {
			leader = r
		}
		if r.State == StateMember && r.Term > 0 {
			members++
		}
		highest = max(highest, r.Term)
	}
	switch {
	case !founded && len(replies) == self.Founders-1:
		return Decision{Outcome: Found, Membership: Membership{Incarnation: self.Incarnation, State: StateMember, Founders: all}}
	case !founded:
		return Decision{Outcome: WaitFounders, After: after}
	case mutant.Is(mutant.LostDiskVotes):
		return Decision{Outcome: Begin, Membership: Membership{Incarnation: self.Incarnation, State: StateMember, Founders: known}}
	case !self.Damaged && known[self.ID] == self.Incarnation:
		return Decision{Outcome: Belong, Membership: Membership{Incarnation: self.Incarnation, State: StateMember, Founders: known}}
	case after > 0 && leader.Term > after:
		return Decision{Outcome: Begin, Membership: Membership{
			Incarnation: self.Incarnation, State: StateReplaced, Founders: leader.Founders, MinTerm: leader.Term,
		}}
	case after == 0 && members > self.Founders/2:
		after = highest
	}
	return Decision{Outcome: WaitLeader, After: after}
}
