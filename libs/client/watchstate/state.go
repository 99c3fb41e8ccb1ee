package watchstate

import (
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Limits bound what a State keeps.
type Limits struct {
	// ReadyBytes bounds the revisions that wait to be taken by Pop; past it
	// live events are let go until half of it is free again.
	ReadyBytes int
	// BufferBytes bounds the live events that wait for an answer.
	BufferBytes int
}

// DefaultLimits suit a watch of a few hundred changes a second whose reader
// pauses for seconds.
var DefaultLimits = Limits{ReadyBytes: 8 << 20, BufferBytes: 4 << 20}

// Config is what a watch watches.
type Config struct {
	// Since is exclusive; nil: from now on.
	Since *api.Position
	// Match tells which keys of the scope are delivered; nil: all.
	Match  func(key []byte) bool
	Limits Limits // zero: DefaultLimits
}

// State is one watch. It is not safe for concurrent use.
type State struct {
	config Config
	epoch  api.Epoch // the highest seen

	// begun is false until a watch from now on knows where it begins.
	begun bool
	// have: every event of the scope up to here is delivered, ready or in partial.
	have api.Position
	// idle: unbroken progress says that the scope has no event in (have, idle].
	idle api.Position
	// target: the scope may have events up to here.
	target api.Position
	// partial holds the events of one revision that is not complete.
	partial []*kvpb.Event

	ready      []Revision // from taken on
	taken      int
	readyBytes int
	full       bool // ready is past its limit and not yet half empty

	// want is set while history must be asked; live events after a gap wait in
	// buffer.
	want          bool
	herd          bool // see Question
	evidence      bool // an event after have was seen or told of
	futile        int
	interruptions uint64
	buffer        []Live
	bufferBytes   int

	// The chain of progress messages. Only an anchored one says something of
	// the time since have: its first message was there before a question whose
	// answer arrived.
	counting bool // sequence is valid
	sequence uint64
	anchored bool
}

// New is a watch that has yet to ask its first question.
func New(c Config) *State {
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits
	}
	s := &State{config: c, want: true}
	if c.Since != nil {
		s.begun, s.have = true, *c.Since
	}
	return s
}

// Question tells whether history must be asked now. It stays the same until an
// answer or another input changes it; the caller keeps one question under way
// at a time.
func (s *State) Question() (Question, bool) {
	if !s.want || s.full {
		return Question{}, false
	}
	q := Question{Futile: s.futile, Herd: s.herd && !s.evidence, interruptions: s.interruptions, counting: s.counting}
	if s.begun {
		since := s.have
		q.Since = &since
	}
	return q, true
}

// Pop takes the oldest revision that can be delivered.
func (s *State) Pop() (Revision, bool) {
	r, ok := s.Peek()
	if !ok {
		return r, false
	}
	s.ready[s.taken] = Revision{}
	s.taken++
	if s.taken == len(s.ready) || s.taken > 1024 && s.taken > len(s.ready)/2 {
		s.ready, s.taken = slices.Delete(s.ready, 0, s.taken), 0
	}
	for _, e := range r.Events {
		s.readyBytes -= eventBytes(e)
	}
	if s.readyBytes <= s.config.Limits.ReadyBytes/2 {
		s.full = false
	}
	return r, true
}

// Peek is what Pop would take.
func (s *State) Peek() (Revision, bool) {
	if s.taken == len(s.ready) {
		return Revision{}, false
	}
	return s.ready[s.taken], true
}

// Through is the position up to which Pop has given everything: where a later
// watch of the same range can begin. It is zero before a watch from now on knows
// where it begins.
func (s *State) Through() api.Position {
	switch r, ok := s.Peek(); {
	case ok:
		return before(r.Events[0])
	case len(s.partial) > 0:
		return before(s.partial[0])
	case s.idle.After(s.have):
		return s.idle
	}
	return s.have
}

// before is the position up to which everything is there but for e and what
// follows. It may be inside e's revision, where a watch that began there, or that
// was told so by progress, must not fall back to the revision before.
func before(e *kvpb.Event) api.Position {
	p := positionOf(e)
	if p.Sub == 0 {
		return api.End(p.Revision - 1)
	}
	return api.Position{Revision: p.Revision, Sub: p.Sub - 1}
}

// Joined tells that the watch has caught up with what was published, for now.
func (s *State) Joined() bool { return !s.want }

// Interrupted tells that messages may have been lost on the way: the connection
// was renewed, or the receiver dropped some.
func (s *State) Interrupted() {
	if mistaken("interruption-ignored") {
		return
	}
	s.joinAgain()
}

// joinAgain begins anew with what is published: questions under way and the
// progress so far do not count.
func (s *State) joinAgain() {
	s.interruptions++
	s.counting, s.anchored = false, false
	s.want, s.herd = true, true
}
