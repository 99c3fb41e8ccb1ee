package sim

import (
	"errors"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client/watchstate"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// watcher is a client with one watch at a time. It drives the rules of a watch
// as the Go client does, and records what the watch delivers.
type watcher struct {
	w    *world
	b    *watching
	slow int64 // percent of the revisions that its reader takes a while for

	record   *check.Watch // of the watch; nil: none
	scope    watchstate.Scope
	state    *watchstate.State
	life     int // counts the states: what is under way for an earlier one is gone
	conn     *conn
	resumed  bool // nothing was delivered since it was begun anew
	ended    bool // the watch was told of a compaction
	reading  bool
	stalled  bool               // it takes nothing from its connection
	inbox    [][]fanout.Message // what its connection brought meanwhile
	buffered int                // messages in inbox
	lost     bool               // some did not fit, and it does not know

	asking, waiting, herd, failed bool
	pause                         int64
	question                      int // counts the questions
}

const (
	inboxMessages = 10        // of one watch, between the connection and its rules
	pauseFirst    = 5 * ms    // after a question that failed or did not help
	pauseMost     = 1000 * ms // it doubles until then
	herdSpread    = 200
	answerMillis  = 1000
	askMillis     = 5000
)

var watchLimits = watchstate.Limits{ReadyBytes: 4 << 10, BufferBytes: 4 << 10}

// begin begins the watch of a record where it begins, or behind where it
// stands.
func (c *watcher) begin(record *check.Watch) {
	c.record = record
	c.scope = watchstate.ScopeOf(record.Key, record.End)
	since := record.Since
	if n := len(record.Steps); n > 0 {
		through := record.Steps[n-1].Through
		since, c.resumed = &through, true
	}
	c.state = watchstate.New(watchstate.Config{Since: since, Match: c.scope.Match, Limits: watchLimits})
	c.life++
	c.inbox, c.buffered, c.lost, c.reading = nil, 0, false, false
	c.asking, c.waiting, c.herd, c.failed, c.pause = false, false, false, false, pauseFirst
	c.w.report.Watches++
	c.connect()
	c.moved()
}

// connect connects with some node that is up, and subscribes.
func (c *watcher) connect() {
	c.disconnect()
	n := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	if !n.up {
		life := c.life
		c.w.after(c.w.between(20, 200), func() {
			if c.life == life && c.conn == nil {
				c.connect()
			}
		})
		return
	}
	k := &conn{n: n, life: n.life, watcher: c, subjects: []string{c.scope.Events, c.scope.Tail, api.SubjectProgress}}
	k.down = line{w: c.w, up: true}
	k.requests = line{w: c.w, up: true}
	c.conn = k
	c.b.conns = append(c.b.conns, k)
	k.requests.send(func() {
		c.b.gates[n].pass(func() {
			for _, f := range c.b.fanouts {
				if r := c.b.route(f, n); r.up() && !k.broken {
					r.subscribe(k)
				}
			}
		})
	})
	c.state.Interrupted()
}

func (c *watcher) disconnect() {
	k := c.conn
	if k == nil {
		return
	}
	c.conn = nil
	k.broken = true
	k.down.cut()
	k.requests.cut()
	c.b.conns = slices.DeleteFunc(c.b.conns, func(other *conn) bool { return other == k })
	for _, f := range c.b.fanouts {
		r := c.b.route(f, k.n)
		r.known = slices.DeleteFunc(slices.Clone(r.known), func(other *conn) bool { return other == k })
	}
}

// cutOff takes that the connection broke. It notices at once and connects anew.
func (c *watcher) cutOff() {
	if c.disconnect(); c.record == nil {
		return
	}
	c.state.Interrupted()
	life := c.life
	c.w.after(c.w.between(5, 100), func() {
		if c.life == life && c.conn == nil {
			c.connect()
			c.moved()
		}
	})
}

// arrive takes messages from the connection. While it is stalled they wait, and
// those that do not fit are lost.
func (c *watcher) arrive(batch []fanout.Message) {
	if !c.stalled {
		c.take(batch)
		return
	}
	var fit []fanout.Message
	for _, m := range batch {
		// It takes one out now and then.
		if c.buffered < inboxMessages || c.w.chance(20) {
			fit = append(fit, m)
			c.buffered++
		}
	}
	if len(fit) < len(batch) {
		c.lost = true
		c.w.report.Overflows++
	}
	c.inbox = append(c.inbox, fit)
}

func (c *watcher) stall(d int64) {
	c.stalled = true
	life := c.life
	c.w.after(d, func() {
		c.stalled = false
		inbox := c.inbox
		c.inbox, c.buffered = nil, 0
		if c.life != life {
			return
		}
		for _, batch := range inbox {
			c.take(batch)
		}
	})
}

func (c *watcher) take(batch []fanout.Message) {
	if c.record == nil || c.ended {
		return
	}
	for _, m := range batch {
		var err error
		switch m.Subject {
		case api.SubjectProgress:
			var p watchstate.Progress
			if p, err = watchstate.ParseProgress(m.Header); err == nil {
				if c.lost {
					c.lost = false
					c.state.Interrupted()
				}
				c.state.Progress(p)
			}
		case c.scope.Tail:
			var t watchstate.Tail
			if t, err = watchstate.ParseTail(m.Header); err == nil {
				c.state.Tail(t)
			}
		default:
			var l watchstate.Live
			if l, err = watchstate.ParseLive(m.Subject, m.Header, m.Body, c.scope.Depth); err == nil {
				c.state.Live(l)
			}
		}
		if err != nil {
			c.w.fail("a message on %s cannot be read: %v", m.Subject, err)
		}
	}
	c.moved()
}

// moved goes on after whatever changed the state.
func (c *watcher) moved() {
	if c.ended {
		return
	}
	c.consume()
	c.bookmark(nil)
	c.plan()
}

// consume lets the reader take what is ready, at its pace.
func (c *watcher) consume() {
	for !c.reading {
		r, ok := c.state.Pop()
		if !ok {
			return
		}
		c.bookmark(&r)
		if !c.w.ending && c.w.rng.Int64N(100) < c.slow {
			c.reading = true
			life := c.life
			c.w.after(c.w.between(0, 2000), func() {
				if c.life == life && !c.ended {
					c.reading = false
					c.moved()
				}
			})
		}
	}
}

// bookmark records what was delivered, nothing or a revision, and up to where
// that is everything.
func (c *watcher) bookmark(r *watchstate.Revision) {
	through := c.state.Through()
	if r == nil && through == (api.Position{}) && c.record.Since == nil {
		return // it has yet to learn where it begins
	}
	s := check.Step{At: c.w.now, Through: through, Resumed: c.resumed}
	steps := c.record.Steps
	n := len(steps)
	if r != nil {
		s.Revision, s.Events = r.Revision, r.Events
		c.w.report.Delivered++
		c.w.fold(uint64(r.Revision), uint64(len(r.Events)))
	} else if n > 0 && steps[n-1].Through == through {
		return
	}
	if known := c.b.top(); r == nil && through.Revision > known && (c.record.Since == nil || through.After(*c.record.Since)) {
		c.w.fail("watch %s: progress through %v, the newest revision is %d", c.record.Name, through, known)
	}
	c.resumed = false
	if r == nil && n > 1 && len(steps[n-1].Events) == 0 && !steps[n-1].Resumed && !steps[n-1].Through.After(through) {
		steps[n-1] = s // the later one says more
		return
	}
	c.record.Steps = append(steps, s)
}

// plan sets when the state's question, if it has one, is asked.
func (c *watcher) plan() {
	q, ok := c.state.Question()
	if !ok || c.asking || c.waiting && (!c.herd || q.Herd) {
		return
	}
	delay := int64(0)
	switch {
	case c.failed || q.Futile > 0:
		delay = c.pause/2 + c.w.rng.Int64N(c.pause/2+1)
		c.pause = min(2*c.pause, pauseMost)
	case q.Herd:
		delay = c.w.between(0, herdSpread)
	}
	c.waiting, c.herd = true, q.Herd
	c.question++
	life, number := c.life, c.question
	c.w.after(delay, func() {
		if c.life != life || c.question != number || c.ended {
			return
		}
		c.waiting = false
		if q, ok := c.state.Question(); ok {
			c.asking = true
			c.ask(q, c.w.now+askMillis*ms)
		}
	})
}

// ask asks until there is an answer or the time is up.
func (c *watcher) ask(q watchstate.Question, deadline int64) {
	over, life := false, c.life
	done := func(a *kvpb.HistoryResponse, err error) {
		switch {
		case over || c.life != life:
		case err != nil && api.KindOf(err).Retryable() && c.w.now < deadline:
			over = true
			c.w.after(c.w.between(5, 100), func() {
				if c.life == life {
					c.ask(q, deadline)
				}
			})
		default:
			over = true
			c.answered(q, a, err)
		}
	}
	r := &kvpb.HistoryRequest{Key: c.record.Key, RangeEnd: c.record.End}
	if q.Since != nil {
		r.Since = &kvpb.Position{Revision: q.Since.Revision, Sub: q.Since.Sub}
	}
	c.w.report.Questions++
	c.w.after(answerMillis*ms, func() { done(nil, errLate) })
	k := c.conn
	if k == nil {
		return
	}
	k.requests.send(func() {
		c.b.gates[k.n].pass(func() { c.b.forward(k, r, done) })
	})
}

// forward passes a request on to every replica that takes requests, and their
// answers back, behind what they published before.
func (b *watching) forward(k *conn, r *kvpb.HistoryRequest, done func(*kvpb.HistoryResponse, error)) {
	keys := fanout.Range{Key: r.Key, End: r.RangeEnd}
	for _, f := range b.fanouts {
		back := b.route(f, k.n)
		if !back.up() {
			continue
		}
		back.toFanout.send(func() {
			f.gate.pass(func() {
				f.request(r, keys, func(a *kvpb.HistoryResponse, err error) {
					back.toNode.send(func() {
						b.gates[k.n].pass(func() {
							if !k.broken {
								k.down.send(func() { done(a, err) })
							}
						})
					})
				})
			})
		})
	}
}

// answered gives an answer to the state.
func (c *watcher) answered(q watchstate.Question, a *kvpb.HistoryResponse, err error) {
	if c.ended {
		return
	}
	c.asking, c.failed = false, err != nil
	switch {
	case err == nil:
		if q.Futile == 0 {
			c.pause = pauseFirst
		}
		begins := !c.joined()
		c.state.Answer(q, watchstate.Answer{Events: a.Events, More: a.More,
			Through: api.Position{Revision: a.Through.GetRevision(), Sub: a.Through.GetSub()},
			Epoch:   api.Epoch{Term: a.Epoch.GetTerm(), N: a.Epoch.GetN()}})
		if begins {
			c.bookmark(nil)
		}
	case api.KindOf(err) == api.KindCompacted:
		var e *api.Error
		errors.As(err, &e)
		if c.state.Compacted(q, e.Compacted) != nil {
			c.w.report.TooOld++
			c.record.Compacted, c.ended = e.Compacted, true
			c.disconnect()
			return
		}
	case !api.KindOf(err).Retryable() && api.KindOf(err) != api.KindFutureRevision && err != errLate:
		c.w.fail("watch %s: %v", c.record.Name, err)
	}
	c.moved()
}

// joined tells that it is known where the watch begins.
func (c *watcher) joined() bool { return c.record.Since != nil || len(c.record.Steps) > 0 }
