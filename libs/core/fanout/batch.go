package fanout

import (
	"math"

	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Beat asks for the tails and the progress of now. Call it every 250 ms; it does
// nothing while the messages of the beat before are not all published.
func (p *Publisher) Beat() {
	through := p.window.through()
	if mutant.Is(mutant.ProgressAhead) {
		through = p.queue.fed
	}
	if p.holding && p.tails.beat(through) {
		p.broken = true
	}
}

// Batch gives what to publish next, the same until Done; nil if there is
// nothing, or for a standby. During a beat its messages and events alternate, so
// that neither holds up the other.
func (p *Publisher) Batch() []Message {
	if !p.holding {
		return nil
	}
	if len(p.out.messages) == 0 {
		p.beatNext = !p.beatNext
		if p.tails.beating && p.beatNext || !p.fillEvents() {
			p.fillBeat()
		}
	}
	return p.out.messages
}

// Done tells that the batch was published.
func (p *Publisher) Done() {
	for i, e := range p.out.events {
		p.tails.record(p.out.places[i], positionOf(e))
	}
	p.window.add(p.out.events)
	if p.out.beatDone {
		p.tails.beating = false
		p.sequence = p.nextSequence()
		p.broken = false
	}
	p.out = batch{}
	p.settle()
}

// Over tells what routes the batch is about to take: a number that is another one
// after any of them was lost or came. Tails may be lost with a route that comes
// back before the beat's progress, which would then say too much: it leaves out a
// number.
func (p *Publisher) Over(routes func() uint64) {
	if !p.out.beatDone {
		return
	}
	now := routes()
	if now == p.routes || mutant.Is(mutant.RoutesIgnored) {
		return
	}
	p.routes, p.broken = now, true
	p.out.messages[len(p.out.messages)-1] = progressMessage(p.epoch, p.nextSequence(), p.tails.through)
}

func (p *Publisher) nextSequence() uint64 {
	if p.broken {
		return p.sequence + 2
	}
	return p.sequence + 1
}

func (p *Publisher) fillBeat() {
	if !p.tails.beating {
		return
	}
	p.out.messages, p.out.beatDone = p.tails.next(p.limits.Batch, p.epoch)
	if p.out.beatDone {
		p.out.messages = append(p.out.messages, progressMessage(p.epoch, p.nextSequence(), p.tails.through))
	}
}

func (p *Publisher) fillEvents() bool {
	bytes := 0
	for len(p.out.messages) < p.limits.Batch && bytes < BatchBytes {
		if len(p.plus) == 0 && !p.plan() {
			break
		}
		e, at, since := p.next()
		p.out.messages = append(p.out.messages, eventMessage(e, at, since, p.epoch))
		p.out.events = append(p.out.events, e)
		p.out.places = append(p.out.places, at)
		bytes += eventBytes(e)
	}
	return len(p.out.events) > 0
}

// plan finds out which prefixes get a "+" for the first revision in the queue.
// It reports false while the revision has to wait for its end.
func (p *Publisher) plan() bool {
	if p.queue.len() == 0 {
		return false
	}
	events, complete := p.queue.first()
	revision := events[0].Kv.ModRevision
	if !complete && p.Room() && p.partial != revision {
		return false
	}
	p.plus = make([]uint32, len(events))
	if !complete {
		p.partial = revision
		for i := range p.plus {
			p.plus[i] = math.MaxUint32
		}
		return true
	}
	if len(events) == 1 {
		return true
	}
	clear(p.more)
	for i := len(events) - 1; i >= 0; i-- {
		key := events[i].Kv.Key
		p.tags = placeOf(key).appendTags(p.tags[:0], key)
		for n, tag := range p.tags {
			if _, ok := p.more[tag]; ok && !mutant.Is(mutant.PlusLeftOut) {
				p.plus[i] |= 1 << n
			}
			p.more[tag] = struct{}{}
		}
	}
	return true
}
