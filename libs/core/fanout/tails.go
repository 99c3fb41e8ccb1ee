package fanout

import (
	"strconv"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// tails collects which prefixes and keys changed since the last beat, and gives
// the messages of a beat: a tail for each, then the progress.
type tails struct {
	max   int
	index map[changed]int // into dirty
	dirty []tail
	// full: some change has no tail.
	full bool

	beating  bool
	draining []tail
	through  api.Position // of the beat
}

type changed struct {
	tokens string
	key    bool
}

type tail struct {
	changed
	last api.Position
}

func newTails(max int) *tails {
	return &tails{max: max, index: make(map[changed]int)}
}

// record notes an event that was given out to be published.
func (t *tails) record(at place, p api.Position) {
	t.set(changed{}, p)
	for i := range len(at.tokens) {
		if at.tokens[i] == '.' {
			t.set(changed{tokens: at.tokens[:i]}, p)
		}
	}
	if at.full {
		t.set(changed{at.tokens, true}, p)
	}
}

func (t *tails) set(c changed, p api.Position) {
	if i, ok := t.index[c]; ok {
		t.dirty[i].last = p
		return
	}
	if len(t.dirty) >= t.max {
		t.full = !mutant.Is(mutant.TailsLeftOut)
		return
	}
	t.index[c] = len(t.dirty)
	t.dirty = append(t.dirty, tail{c, p})
}

// beat starts a beat unless one is under way. broken tells that some change
// since the last one gets no tail.
func (t *tails) beat(through api.Position) (broken bool) {
	if t.beating {
		return false
	}
	broken = t.full
	t.beating, t.through, t.full = true, through, false
	t.draining, t.dirty = t.dirty, nil
	t.index = make(map[changed]int, len(t.draining))
	return broken
}

// next gives at most max tails of the beat; done tells that none is left and
// the progress is due.
func (t *tails) next(max int, epoch api.Epoch) (list []Message, done bool) {
	n := min(max, len(t.draining))
	for _, c := range t.draining[:n] {
		list = append(list, c.message(epoch))
	}
	t.draining = t.draining[n:]
	return list, len(t.draining) == 0
}

func (c tail) message(epoch api.Epoch) Message {
	name := api.SubjectTailRoot
	switch {
	case c.key:
		name = api.SubjectTailKey + c.tokens
	case c.tokens != "":
		name = api.SubjectTailUnder + c.tokens
	}
	return Message{Subject: name, Header: map[string][]string{
		api.HeaderThrough: {c.last.String()},
		api.HeaderEpoch:   {epoch.String()},
	}}
}

func progressMessage(epoch api.Epoch, sequence uint64, through api.Position) Message {
	return Message{Subject: api.SubjectProgress, Header: map[string][]string{
		api.HeaderEpoch:    {epoch.String()},
		api.HeaderSequence: {strconv.FormatUint(sequence, 10)},
		api.HeaderThrough:  {through.String()},
	}}
}
