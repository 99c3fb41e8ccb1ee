package watchstate

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Live takes an event from the bus. One that follows without a gap is delivered
// even while history is asked for another reason: it needs no answer.
func (s *State) Live(l Live) {
	if !s.sees(l.Epoch) {
		return
	}
	p := positionOf(l.Event)
	if p.After(s.have) && !p.After(s.idle) {
		s.idle = s.have // progress said too much
	}
	switch {
	case s.begun && !p.After(s.have) && !mistaken("duplicates"):
	case s.full && mistaken("full-forgets"):
		s.have = p
	case s.full:
		s.missing(p)
	case !s.begun:
		s.hold(l)
	case l.Since.After(s.have):
		s.evidence, s.want = true, true
		s.hold(l)
	default:
		s.take(l.Event)
		if !l.More || mistaken("half-revision") {
			s.complete()
		}
	}
}

// Tail takes a tail of the scope.
func (s *State) Tail(t Tail) {
	if s.sees(t.Epoch) && s.begun && t.Through.After(s.have) {
		s.missing(t.Through)
	}
}

// Progress takes a progress message.
func (s *State) Progress(p Progress) {
	if !s.sees(p.Epoch) {
		return
	}
	switch {
	case !s.counting:
		s.counting, s.sequence = true, p.Sequence
		return
	case p.Sequence <= s.sequence:
		return
	case p.Sequence > s.sequence+1:
		s.joinAgain()
		s.counting, s.sequence = true, p.Sequence
		return
	}
	s.sequence = p.Sequence
	switch {
	case s.want:
	case !s.anchored && !mistaken("anchor-forgotten"):
		s.want, s.herd = true, true
	case len(s.partial) > 0:
		// The rest of a revision was published before anything after it.
		if p.Through.Revision > s.have.Revision {
			s.missing(api.End(s.have.Revision))
		}
	case p.Through.After(s.idle):
		s.idle = p.Through
	}
}

// sees tells whether a message of epoch e counts, and joins again on a new one.
func (s *State) sees(e api.Epoch) bool {
	c := e.Compare(s.epoch)
	if c > 0 {
		s.enter(e)
	}
	return c >= 0 || mistaken("old-epoch")
}

func (s *State) enter(e api.Epoch) {
	s.epoch = e
	s.joinAgain()
	s.letGo()
}

// missing notes that the scope may have events up to p that are not at hand.
func (s *State) missing(p api.Position) {
	if p.After(s.target) {
		s.target = p
	}
	s.evidence, s.want = true, true
}

// hold keeps a live event until the next answer.
func (s *State) hold(l Live) {
	n := eventBytes(l.Event)
	if s.bufferBytes+n > s.config.Limits.BufferBytes {
		s.letGo()
	}
	s.buffer = append(s.buffer, l)
	s.bufferBytes += n
}

// letGo empties the buffer; what it held comes back as history.
func (s *State) letGo() {
	for _, l := range s.buffer {
		s.missing(positionOf(l.Event))
	}
	s.buffer, s.bufferBytes = nil, 0
}

// take moves the position to an event that follows it without a gap.
func (s *State) take(e *kvpb.Event) {
	p := positionOf(e)
	if p.Revision > s.have.Revision {
		s.complete()
	}
	s.have = p
	if s.config.Match == nil || s.config.Match(e.GetKv().GetKey()) {
		s.partial = append(s.partial, e)
	}
}

// complete makes the revision in partial ready.
func (s *State) complete() {
	if len(s.partial) == 0 {
		return
	}
	r := Revision{Revision: positionOf(s.partial[0]).Revision, Events: s.partial}
	s.partial = nil
	s.ready = append(s.ready, r)
	for _, e := range r.Events {
		s.readyBytes += eventBytes(e)
	}
	if s.readyBytes > s.config.Limits.ReadyBytes {
		s.full = true
	}
}
