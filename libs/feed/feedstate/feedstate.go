// Package feedstate is the rule book of following committed revisions, as a
// state machine without I/O: whom to ask what and when, and whether an answer
// continues what was given. Package feed drives it with NATS, a simulation with
// whatever it likes.
//
// It guarantees that the pages it takes continue one another: their events are
// after everything taken before and in order, and through never goes back. It
// asks on for ever.
package feedstate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// ErrDiscontinuous says that a node's page does not continue the one before.
var ErrDiscontinuous = errors.New("feed: a page does not continue the one before")

const (
	// pageBytes is how much one page is asked to hold.
	pageBytes = 1 << 20
	// wait is how long a node waits for something new. A request to a node that
	// dies is given up after it, unless Again comes before.
	wait = 2 * time.Second
	// graceMin and graceMax bound how much longer than the wait an answer may
	// take; it doubles each time it was too short.
	graceMin = 200 * time.Millisecond
	graceMax = 10 * time.Second
	// pauseMin and pauseMax bound the pause after nobody has answered.
	pauseMin = 5 * time.Millisecond
	pauseMax = 500 * time.Millisecond
)

// State is one following. It is not safe for concurrent use.
type State struct {
	after api.Position
	any   bool          // the leader did not answer: any node is next
	grace time.Duration // see graceMin
	pause time.Duration // the next one, when nobody has answered
	owed  time.Duration // the least pause before the next question
	spent bool          // nobody has answered
}

// New follows what comes after a position.
func New(after api.Position) *State {
	return &State{after: after, grace: graceMin, pause: pauseMin}
}

// Question is what to ask next.
type Question struct {
	Pause    time.Duration // before it is asked
	Leader   bool          // the leader is asked, else any node
	Request  *kvpb.FeedRequest
	Patience time.Duration // how long an answer may take
}

// Next gives the next question, one at a time. After it comes Failed or Take.
// jitter gives a number from 0 to below n.
func (s *State) Next(jitter func(n int64) int64) Question {
	q := Question{Pause: s.owed, Leader: !s.any, Patience: wait + s.grace, Request: &kvpb.FeedRequest{
		After: wire(s.after), MaxBytes: pageBytes, WaitMillis: wait.Milliseconds(),
	}}
	if s.spent {
		q.Pause = s.pause/2 + time.Duration(jitter(int64(s.pause)))
		s.pause = min(2*s.pause, pauseMax)
	}
	s.owed, s.spent = 0, false
	return q
}

// Failed takes that there was no answer, late if it did not come in time, or a
// refusal other than compacted, which ends the following.
func (s *State) Failed(late bool) {
	if late {
		s.grace = min(2*s.grace, graceMax)
	}
	s.spent = s.any
	s.any = !s.any
}

// Again takes that the question under way was given up.
func (s *State) Again() { s.any, s.grace, s.pause = false, graceMin, pauseMin }

// Restart goes on from another position: what followed is compacted.
func (s *State) Restart(after api.Position) { *s = *New(after) }

// Lost tells that nobody has answered for some time.
func (s *State) Lost() bool { return s.pause >= pauseMax }

// Take takes a page that came after a time, checks that it continues what was
// taken, and makes its through good for a page that brings nothing. The error is
// ErrDiscontinuous, which is a bug of the node that answered.
func (s *State) Take(page *kvpb.FeedResponse, took time.Duration) error {
	s.any, s.grace, s.pause = false, graceMin, pauseMin
	if len(page.Events) == 0 && took < wait/4 {
		s.owed = pauseMin // the node did not wait, perhaps because it stops
	}
	at := s.after
	for _, e := range page.Events {
		p := api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.Sub}
		if !p.After(at) {
			return fmt.Errorf("%w: node %s gives %v after %v", ErrDiscontinuous, page.Node, p, at)
		}
		at = p
	}
	through := api.Position{Revision: page.Through.GetRevision(), Sub: min(page.Through.GetSub(), math.MaxInt32)}
	if n := len(page.Events); n > 0 {
		if at.After(through) {
			return fmt.Errorf("%w: node %s gives %v and says that it goes through %v", ErrDiscontinuous, page.Node, at, through)
		}
		if page.Events[n-1].Last {
			at = api.End(at.Revision)
		}
	}
	if through.After(at) {
		at = through
	}
	s.after = at
	page.Through = wire(at) // a node that lags behind says less
	return nil
}

func wire(p api.Position) *kvpb.Position {
	return &kvpb.Position{Revision: p.Revision, Sub: p.Sub}
}
