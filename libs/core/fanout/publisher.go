package fanout

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Publisher turns the feed's events into messages. It belongs to one goroutine.
//
// The order of effects: Batch gives messages; the caller checks that it may
// publish, publishes all of them in order on its one connection, then calls
// Done; only then it lets readers see View and Sequence. So whatever View holds
// was published before any answer made from it.
//
// A Publisher begins as a standby. Take makes it the one that publishes, Lose a
// standby again. A standby forgets events as the holder's progress covers them
// (Skip) and gives no batches.
type Publisher struct {
	limits Limits
	seen   *prefixes
	window *window
	queue  queue
	// plus holds the "+" bits, by index in Kv-Since, of the first events in the
	// queue, all of one revision; partial is the last revision that was
	// published in parts.
	plus    []uint32
	partial int64

	holding  bool
	epoch    api.Epoch
	sequence uint64
	// broken: the next progress leaves out a number.
	broken bool
	tails  *tails
	// routes are those of the last progress; see Over.
	routes uint64
	// beatNext: in a beat, the next batch is of tails and not of events.
	beatNext bool
	// covered is the last progress of another holder that was seen.
	covered api.Position

	out batch

	tags []uint64            // scratch
	more map[uint64]struct{} // scratch
}

// batch is what was given out to be published and is not Done.
type batch struct {
	messages []Message
	events   []*kvpb.Event // one for each message; none in a batch of a beat
	places   []place       // of the events, for their tails
	beatDone bool          // the last message is the beat's progress
}

// NewPublisher makes a Publisher for the events after start.
func NewPublisher(l Limits, start api.Position) *Publisher {
	p := &Publisher{limits: l.withDefaults(), more: make(map[uint64]struct{})}
	p.Reset(start)
	return p
}

// Reset makes it go on after start, whatever was fed before: events between are
// never published, and watchers learn from Kv-Since and from the missing
// progress number that they have to ask.
func (p *Publisher) Reset(start api.Position) {
	p.seen = newPrefixes(p.limits.Prefixes, start)
	p.window = newWindow(p.limits.WindowEvents, p.limits.WindowBytes, start)
	p.queue = queue{fed: start}
	p.plus, p.out = nil, batch{}
	p.tails = newTails(p.limits.Tails)
	p.covered = api.Position{}
	p.broken = true
}

// Add takes the next page of the feed: events in order, and through, up to which
// the feed has given everything. What was added before is ignored.
func (p *Publisher) Add(events []*kvpb.Event, through api.Position) {
	p.queue.add(events, through)
	if !p.holding {
		p.forget()
	}
	p.settle()
}

// Room reports whether another page of the feed may be added. A holder makes
// room by publishing, a standby by Skip.
func (p *Publisher) Room() bool {
	return p.queue.len() < p.limits.QueueEvents && p.queue.bytes < p.limits.QueueBytes
}

// Fed is the position up to which the feed was added.
func (p *Publisher) Fed() api.Position { return p.queue.fed }

// Take makes it publish in an epoch, everything after View's through first.
// The first progress follows with the first batch.
func (p *Publisher) Take(epoch api.Epoch) {
	if p.epoch.Compare(epoch) != 0 {
		p.sequence, p.broken = 0, false
	} else {
		p.broken = true // the tails that were due are forgotten below
	}
	if mutant.Is(mutant.TakeoverForgets) {
		p.queue = queue{fed: p.queue.fed}
		p.plus, p.out = nil, batch{}
	}
	p.epoch, p.holding = epoch, true
	p.tails = newTails(p.limits.Tails)
	if len(p.out.events) == 0 {
		p.out = batch{}
	}
	for _, m := range p.out.messages {
		m.Header[api.HeaderEpoch] = []string{epoch.String()}
	}
	p.Beat()
}

// Lose makes it a standby. A batch that is not Done counts as not published.
func (p *Publisher) Lose() { p.holding = false }

// Holding gives the epoch it publishes in.
func (p *Publisher) Holding() (api.Epoch, bool) { return p.epoch, p.holding }

// Sequence is the number of the last progress message in the epoch.
func (p *Publisher) Sequence() uint64 { return p.sequence }

// View is what was published recently, or skipped because another did.
func (p *Publisher) View() *View { return p.window.view() }

// Skip tells a standby that the holder has published through a position, as its
// progress messages say. A holder ignores it: what another published before is
// no reason not to publish, as its own watchers may not have got it.
func (p *Publisher) Skip(through api.Position) {
	if p.holding {
		return
	}
	if through.After(p.covered) {
		p.covered = through
	}
	p.forget()
	p.settle()
}

// forget drops what the other holder covered.
func (p *Publisher) forget() {
	out := &p.out
	for len(out.events) > 0 && !positionOf(out.events[0]).After(p.covered) {
		p.window.add(out.events[:1])
		out.messages, out.events, out.places = out.messages[1:], out.events[1:], out.places[1:]
	}
	if len(out.events) == 0 {
		*out = batch{}
	}
	for len(out.events) == 0 && p.queue.len() > 0 && !positionOf(p.queue.front()).After(p.covered) {
		e, _, _ := p.next()
		p.window.add([]*kvpb.Event{e})
	}
}

// settle moves through to where the feed is when nothing waits.
func (p *Publisher) settle() {
	if p.queue.len() == 0 && len(p.out.events) == 0 {
		p.window.reach(p.queue.fed)
	}
}

// next takes the next event out of the queue and records it.
func (p *Publisher) next() (e *kvpb.Event, at place, since string) {
	e = p.queue.pop()
	var plus uint32
	if len(p.plus) > 0 {
		plus, p.plus = p.plus[0], p.plus[1:]
	}
	at = placeOf(e.Kv.Key)
	p.tags = at.appendTags(p.tags[:0], e.Kv.Key)
	text := make([]byte, 0, 16*len(p.tags))
	for i, tag := range p.tags {
		text = appendSince(text, p.seen.record(tag, positionOf(e)), plus&(1<<i) != 0)
	}
	return e, at, string(text)
}
