package watchstate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// model is a store and its fan-out, and the network to one watch. Keys are
// a/0 .. a/3 in the watched prefix and b/0 .. b/3 outside.
type model struct {
	rng       *rand.Rand
	events    []*kvpb.Event
	published int // events[:published] have been published
	compacted int64
	epoch     api.Epoch
	sequence  uint64
	loss      float64
	outage    int    // messages still to be lost
	cut       bool   // the outage ends with a sign: an interruption, or else a lost progress message
	silent    bool   // any message may be lost without a sign
	inflight  func() // delivers the answer that is under way
	state     *watchstate.State
	got       []watchstate.Revision
	since     api.Position
	failed    error
}

const depth = 1 // of the watched prefix

func inScope(e *kvpb.Event) bool { return e.GetKv().GetKey()[0] == 'a' }

func posOf(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
}

// commit adds a revision of up to 5 events.
func (m *model) commit() {
	revision := m.revision() + 1
	n := 1 + m.rng.IntN(5)
	for sub := range n {
		key := fmt.Sprintf("%c/%d", "ab"[m.rng.IntN(2)], m.rng.IntN(4))
		m.events = append(m.events, &kvpb.Event{
			Kv:  &kvpb.KeyValue{Key: []byte(key), ModRevision: revision, Value: make([]byte, m.rng.IntN(40))},
			Sub: int64(sub), Last: sub == n-1,
		})
	}
}

func (m *model) revision() int64 {
	if len(m.events) == 0 {
		return 1
	}
	return m.events[len(m.events)-1].GetKv().GetModRevision()
}

// publishedThrough is what the fan-out's history and progress speak of.
func (m *model) publishedThrough() api.Position {
	if m.published == 0 {
		return api.Position{Revision: 1}
	}
	return posOf(m.events[m.published-1])
}

func (m *model) publish() {
	if m.published == len(m.events) {
		return
	}
	e := m.events[m.published]
	m.published++
	if inScope(e) {
		m.send(func() { m.state.Live(m.live(m.published - 1)) })
	}
}

// live is events[i] as published. Sometimes Since is a later bound.
func (m *model) live(i int) watchstate.Live {
	e := m.events[i]
	l := watchstate.Live{Epoch: m.epoch, Event: e}
	for j := i - 1; j >= 0; j-- {
		if inScope(m.events[j]) {
			l.Since = posOf(m.events[j])
			break
		}
	}
	if i > 0 && m.rng.IntN(20) == 0 {
		l.Since = posOf(m.events[i-1])
	}
	for j := i + 1; j < len(m.events) && m.events[j].GetKv().GetModRevision() == e.GetKv().GetModRevision(); j++ {
		l.More = l.More || inScope(m.events[j])
	}
	return l
}

// tail is the last position of the scope that was published.
func (m *model) tail() watchstate.Tail {
	t := watchstate.Tail{Epoch: m.epoch}
	for _, e := range m.events[:m.published] {
		if inScope(e) {
			t.Through = posOf(e)
		}
	}
	return t
}

func (m *model) progress() {
	m.sequence++
	p := watchstate.Progress{Epoch: m.epoch, Sequence: m.sequence, Through: m.publishedThrough()}
	if m.outage > 0 && !m.cut {
		m.outage = 0
		return
	}
	m.send(func() { m.state.Progress(p) })
}

// send delivers a message, or loses or repeats it. Losses that leave a sign go
// on until the sign.
func (m *model) send(deliver func()) {
	switch {
	case m.outage > 0 && m.cut:
		if m.outage--; m.outage == 0 {
			m.state.Interrupted()
		}
		return
	case m.outage > 0:
		return
	case m.rng.Float64() < m.loss:
		if !m.silent {
			m.outage, m.cut = 1+m.rng.IntN(10), m.rng.IntN(2) == 0
		}
		return
	}
	deliver()
	if m.rng.Float64() < 0.1 {
		deliver()
	}
}

// takeover makes another replica publish, from an earlier position on.
func (m *model) takeover() {
	old := m.epoch
	m.epoch.N++
	m.sequence = 0
	back := m.rng.IntN(6)
	m.published = max(0, m.published-back)
	if m.published < len(m.events) && inScope(m.events[m.published]) && m.rng.IntN(2) == 0 {
		// The old holder's last words arrive late.
		l := m.live(m.published)
		l.Epoch = old
		m.send(func() { m.state.Live(l) })
	}
}

// ask answers a question from the published history, in random pages, later.
func (m *model) ask(q watchstate.Question) {
	a := watchstate.Answer{Epoch: m.epoch}
	known := m.published
	if m.rng.IntN(15) == 0 && m.epoch.N > 1 {
		a.Epoch.N-- // another replica answers, which may be behind
		known = max(0, known-m.rng.IntN(5))
	}
	// No revision is cut at the end of what is known.
	for known < len(m.events) && known > 0 && !m.events[known-1].GetLast() {
		known++
	}
	if known > 0 {
		a.Through = posOf(m.events[known-1])
	}
	switch {
	case q.Since == nil:
		m.since = a.Through
	case q.Since.Revision+1 < m.compacted:
		at := m.compacted
		m.inflight = func() { m.failed = m.state.Compacted(q, at) }
		return
	default:
		m.page(&a, *q.Since, m.events[:known])
	}
	m.inflight = func() { m.state.Answer(q, a) }
}

func (m *model) page(a *watchstate.Answer, since api.Position, known []*kvpb.Event) {
	limit := 1 + m.rng.IntN(8)
	for _, e := range known {
		if !inScope(e) || !posOf(e).After(since) {
			continue
		}
		if len(a.Events) == limit {
			a.More, a.Through = true, posOf(a.Events[limit-1])
			return
		}
		a.Events = append(a.Events, e)
	}
}

// exchange lets an answer arrive, or a question be asked.
func (m *model) exchange() {
	if answer := m.inflight; answer != nil {
		m.inflight = nil
		answer()
	} else if q, ok := m.state.Question(); ok {
		m.ask(q)
	}
}

// step lets something happen.
func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 20:
		m.commit()
	case n < 50:
		m.publish()
	case n < 60:
		t := m.tail()
		m.send(func() { m.state.Tail(t) })
	case n < 70:
		m.progress()
	case n < 73:
		m.takeover()
	case n < 74:
		m.state.Interrupted()
	case n < 90:
		m.exchange()
	default:
		m.read()
	}
}

func (m *model) read() {
	if r, ok := m.state.Pop(); ok {
		m.got = append(m.got, r)
	}
}

// settle ends the losses and lets the watch catch up: what was lost without a
// sign is told by the tail, the rest shows in the progress.
func (m *model) settle(t *testing.T) {
	m.loss = 0
	if m.outage > 0 && m.cut {
		m.outage = 0
		m.state.Interrupted()
	}
	for m.published < len(m.events) {
		m.publish()
	}
	if m.silent {
		m.state.Tail(m.tail())
	}
	for range 4 {
		m.progress()
		m.catchUp(t)
	}
}

func (m *model) catchUp(t *testing.T) {
	for i := 0; m.failed == nil; i++ {
		for _, ok := m.state.Peek(); ok; _, ok = m.state.Peek() {
			m.read()
		}
		if _, ok := m.state.Question(); !ok && m.inflight == nil {
			return
		}
		if i > 10_000 {
			t.Fatal("the watch asks for ever")
		}
		m.exchange()
	}
}

// check compares what was delivered with the history.
func (m *model) check(t *testing.T) {
	t.Helper()
	var want []watchstate.Revision
	for _, e := range m.events {
		if !inScope(e) || !posOf(e).After(m.since) {
			continue
		}
		if n := len(want); n == 0 || want[n-1].Revision != e.GetKv().GetModRevision() {
			want = append(want, watchstate.Revision{Revision: e.GetKv().GetModRevision()})
		}
		want[len(want)-1].Events = append(want[len(want)-1].Events, e)
	}
	if m.failed != nil {
		want = want[:min(len(m.got), len(want))]
	}
	same := func(a, b watchstate.Revision) bool {
		return a.Revision == b.Revision && slices.Equal(a.Events, b.Events)
	}
	if !slices.EqualFunc(m.got, want, same) {
		t.Fatalf("delivered %d revisions, want %d:\n got %s\nwant %s", len(m.got), len(want), show(m.got), show(want))
	}
}

// inScopeThrough counts the events to deliver up to a position.
func (m *model) inScopeThrough(p api.Position) int {
	n := 0
	for _, e := range m.events {
		if inScope(e) && posOf(e).After(m.since) && !posOf(e).After(p) {
			n++
		}
	}
	return n
}

func (m *model) delivered() int {
	n := 0
	for _, r := range m.got {
		n += len(r.Events)
	}
	return n
}

func show(list []watchstate.Revision) string {
	s := ""
	for _, r := range list {
		s += fmt.Sprintf(" %d(", r.Revision)
		for _, e := range r.Events {
			s += fmt.Sprintf("%s.%d ", e.GetKv().GetKey(), e.GetSub())
		}
		s += ")"
	}
	return s
}

func newModel(seed uint64, limits watchstate.Limits) *model {
	m := &model{rng: rand.New(rand.NewPCG(seed, 1)), epoch: api.Epoch{Term: 1, N: 1}}
	for range m.rng.IntN(5) {
		m.commit()
	}
	m.published = len(m.events)
	c := watchstate.Config{Limits: limits}
	if m.rng.IntN(2) == 0 {
		m.since = api.End(m.rng.Int64N(m.revision() + 3))
		c.Since = &m.since
	}
	m.state = watchstate.New(c)
	if c.Since == nil {
		m.exchange()
		m.exchange()
	}
	return m
}

var limits = []watchstate.Limits{{}, {ReadyBytes: 2000, BufferBytes: 1500}, {ReadyBytes: 1, BufferBytes: 1}}

func seeds(t *testing.T) uint64 {
	if testing.Short() {
		return 300
	}
	return 3000
}

// TestNothingMissedNothingRepeated loses, repeats and reorders in every way that
// the bus can, and in some that it cannot: single messages vanish without a sign.
func TestNothingMissedNothingRepeated(t *testing.T) {
	for _, limits := range limits {
		for seed := range seeds(t) {
			m := newModel(seed, limits)
			m.silent, m.loss = true, m.rng.Float64()/2
			for range 300 {
				m.step()
				if through := m.state.Through(); len(m.got) > 0 && through.Revision < m.got[len(m.got)-1].Revision {
					t.Fatalf("seed %d: through %v is before what was delivered", seed, through)
				}
			}
			m.settle(t)
			if m.failed != nil {
				t.Fatalf("seed %d: %v", seed, m.failed)
			}
			m.check(t)
		}
	}
}

// TestCompactedOrComplete compacts while the watch is cut off, with losses that
// leave a sign, as NATS's do: either nothing is missing, or the watch says so.
func TestCompactedOrComplete(t *testing.T) {
	ended := 0
	for seed := range seeds(t) {
		m := newModel(seed, limits[seed%uint64(len(limits))])
		m.loss = m.rng.Float64() / 5
		for range 300 {
			m.step()
			if n := m.inScopeThrough(m.state.Through()); n > m.delivered() {
				t.Fatalf("seed %d: %d events up to %v, %d delivered", seed, n, m.state.Through(), m.delivered())
			}
			if m.rng.IntN(30) == 0 {
				m.compacted = max(m.compacted, m.publishedThrough().Revision-m.rng.Int64N(8))
			}
			if m.failed != nil {
				break
			}
		}
		m.settle(t)
		m.check(t)
		if m.failed != nil {
			ended++
		}
	}
	if ended == 0 || ended == int(seeds(t)) {
		t.Fatalf("%d of %d watches ended by compaction: the test tells nothing", ended, seeds(t))
	}
}
