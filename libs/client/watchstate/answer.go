package watchstate

import "github.com/kvorum/kvorum/libs/api"

// Answer takes the answer to q.
func (s *State) Answer(q Question, a Answer) {
	if a.Epoch.Compare(s.epoch) > 0 {
		s.enter(a.Epoch)
		q.interruptions, q.counting = s.interruptions, false
	}
	if mistaken("future-forgotten") && s.have.After(a.Through) {
		s.have = a.Through
	}
	before := s.have
	s.begun, s.herd = true, false
	for _, e := range a.Events {
		if !positionOf(e).After(s.have) {
			continue
		}
		s.take(e)
		if e.GetLast() {
			s.complete()
		}
	}
	if a.Through.After(s.have) {
		if a.Through.Revision > s.have.Revision {
			s.complete()
		}
		s.have = a.Through
	}
	if !a.More && a.Through == s.have {
		s.complete()
	}
	// Later than the question: an interruption, or another publisher. Then the
	// answer is true but tells nothing of what was published since.
	current := q.interruptions == s.interruptions && a.Epoch == s.epoch
	if a.More || !current {
		s.helped(s.have.After(before))
		return
	}
	s.anchored = s.anchored || q.counting
	s.resume()
	s.helped(!s.want || s.have.After(before))
}

// resume goes on live after an answer: what was held is looked at again.
func (s *State) resume() {
	held := s.buffer
	s.buffer, s.bufferBytes = nil, 0
	s.want, s.evidence = false, false
	for _, l := range held {
		s.Live(l)
	}
	if s.target.After(s.have) {
		s.missing(s.target)
	}
}

func (s *State) helped(yes bool) {
	if yes {
		s.futile = 0
	} else {
		s.futile++
	}
}

// Compacted takes the answer that the history since q is gone: compacted is the
// compacted revision. It returns the error that ends the watch, of
// api.KindCompacted, or nil where the watch goes on from where progress has
// brought it, as one would that is begun anew at Through: nothing happened to its
// scope in what is gone.
func (s *State) Compacted(q Question, compacted int64) error {
	if q.Since != nil && s.have.After(*q.Since) {
		return nil // an old question
	}
	if len(s.partial) == 0 && s.idle.After(s.have) && s.idle.Revision+1 >= compacted {
		s.have = s.idle
		return nil
	}
	return &api.Error{
		Kind:      api.KindCompacted,
		Message:   "the changes after " + s.have.String() + " are compacted: list the range at a revision and watch from the one after it",
		Compacted: compacted,
	}
}
