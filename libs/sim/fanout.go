package sim

import (
	"slices"
	"strconv"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/feed/feedstate"
)

// fan is one process of the watch fan-out, around the rules that ship.
type fan struct {
	w        *world
	b        *watching
	name     string
	limits   fanout.Limits
	time     clockwork
	up       bool
	paused   bool
	midway   int64 // it will be stopped for so long while it publishes next
	pace     int64 // how long publishing takes at most
	isolated bool  // all its routes are cut
	life     int
	gate     gate
	held     []func() // what it would have done while it was stopped

	rules   *fanout.Replica
	current *fanout.Snapshot // what requests are answered from
	open    bool             // it takes requests
	busy    bool             // it publishes: what comes in waits
	waiting []func()
	feed    *feedstate.State
	asks    bool   // a question for a page is under way
	asked   int    // counts them: only the last one's answer counts
	room    func() // takes the page that waits for room; nil: none
}

func newFan(w *world, name string, l fanout.Limits) *fan {
	f := &fan{w: w, b: w.watching, name: name, limits: l, pace: []int64{ms / 5, ms / 5, 20 * ms, 100 * ms}[w.rng.IntN(4)]}
	f.gate = gate{w: w, running: func() bool { return f.up && !f.paused }, life: func() int { return f.life }}
	f.time.run(w.now, w.rng.Int64N(2*w.o.ClockPPM+1)-w.o.ClockPPM)
	return f
}

func (f *fan) now() fanout.Instant { return fanout.Instant(f.time.show(f.w.now)) }

func (f *fan) start() {
	if f.up {
		return
	}
	f.w.tell("%s starts", f.name)
	f.up, f.paused, f.open, f.busy, f.held, f.waiting, f.room, f.midway, f.asks = true, false, false, false, nil, nil, nil, 0, false
	f.life++
	f.rules, f.current = fanout.NewReplica(f.name+"."+strconv.Itoa(f.life), f.limits), nil
	for _, r := range f.b.routes[f] {
		r.connect()
	}
	f.ask()
	f.beat()
}

func (f *fan) kill() {
	if !f.up {
		return
	}
	f.w.tell("%s is killed", f.name)
	f.up = false
	f.life++
	for _, r := range f.b.routes[f] {
		r.cut()
	}
}

func (f *fan) pause() {
	f.w.tell("%s is stopped", f.name)
	f.paused = true
}

func (f *fan) resume() {
	if !f.paused {
		return
	}
	f.w.tell("%s goes on", f.name)
	f.paused = false
	held := f.held
	f.held = nil
	// What is due at once comes in any order.
	f.w.rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	for _, do := range held {
		do()
	}
}

// stop pauses it for a while.
func (f *fan) stop(d int64) {
	f.pause()
	life := f.life
	f.w.after(d, func() {
		if f.life == life {
			f.resume()
		}
	})
}

// isolate cuts all routes of the replica, or lets them come back.
func (f *fan) isolate(yes bool) {
	f.isolated = yes
	for _, r := range f.b.routes[f] {
		if yes {
			r.cut()
		} else {
			r.retry()
		}
	}
}

// later does something of its own after a while, unless it is down by then.
func (f *fan) later(d int64, do func()) {
	life := f.life
	f.w.after(d, func() {
		switch {
		case f.life != life:
		case f.paused:
			f.held = append(f.held, do)
		default:
			do()
		}
	})
}

// input does something with the rules, in turn.
func (f *fan) input(do func()) {
	if f.busy {
		f.waiting = append(f.waiting, do)
		return
	}
	do()
	f.turn()
}

// turn is what the loop of the service does after every input.
func (f *fan) turn() {
	if !f.rules.Begun() {
		return
	}
	holding, changed := f.rules.Settle(f.now())
	f.current = f.rules.Snapshot()
	if changed {
		f.w.tell("%s publishes: %t", f.name, holding)
		f.open = holding
		if holding {
			f.w.report.Publishers++
			f.alone()
		}
	}
	if f.room != nil && f.rules.Room() {
		take := f.room
		f.room = nil
		take()
		return
	}
	if !f.rules.Waiting() {
		return
	}
	batch := f.rules.Publish(f.now())
	if batch == nil {
		return
	}
	// The process may be stopped, or end, between here and there.
	f.busy = true
	if d := f.midway; d > 0 {
		f.midway = 0
		f.stop(d)
	}
	f.later(f.w.rng.Int64N(min(f.pace, int64(len(batch))*8*ms)), func() {
		f.publish(f.rules.Over(f.routeSet))
		f.rules.Done()
		f.busy = false
		waiting := f.waiting
		f.waiting = nil
		for _, do := range waiting {
			f.input(do)
		}
		if len(waiting) == 0 {
			f.turn()
		}
	})
}

// routeSet changes with every route that is lost or comes.
func (f *fan) routeSet() (set uint64) {
	for _, r := range f.b.routes[f] {
		set += 2 * uint64(r.toNode.life)
		if r.up() {
			set++
		}
	}
	return set
}

// overlap is how long two grants may overlap because clocks differ.
const overlap = 25 * ms

// alone: nobody else holds the grant, for longer than clocks differ.
func (f *fan) alone() {
	f.w.report.Checks++
	for _, other := range f.b.fanouts {
		if s := other.current; other != f && other.up && s != nil && s.Speaks(s, other.now()+fanout.Instant(overlap)) {
			f.w.fail("%s is granted publishing while %s holds the grant", f.name, other.name)
		}
	}
}

// publish gives messages to the bus.
func (f *fan) publish(batch []fanout.Message) {
	for _, r := range f.b.routes[f] {
		if r.loses(batch) {
			continue
		}
		if known := r.known; r.up() && len(known) > 0 {
			r.toNode.send(func() {
				f.b.gates[r.n].pass(func() {
					for _, c := range known {
						c.deliver(batch)
					}
				})
			})
		}
	}
	for _, m := range batch {
		if m.Subject != api.SubjectProgress {
			continue
		}
		through, err := api.ParsePosition(m.Header[api.HeaderThrough][0])
		if err != nil {
			f.w.fail("%s publishes progress without a position: %v", f.name, err)
		}
		for _, other := range f.b.fanouts {
			if other != f && f.b.connected(f, other) && !f.w.chance(5) {
				f.w.after(f.w.between(0, 3), func() { other.gate.pass(func() { other.progress(through) }) })
			}
		}
	}
}

// progress takes another holder's progress message.
func (f *fan) progress(through api.Position) {
	f.input(func() {
		if f.rules.Begun() {
			f.rules.Progress(through, f.now())
		} else {
			f.begin(through)
		}
	})
}

func (f *fan) begin(start api.Position) {
	f.rules.Begin(start)
	f.feed = feedstate.New(start)
	f.follow()
}

func (f *fan) beat() {
	f.later(int64(fanout.BeatEvery), func() {
		f.beat()
		f.input(func() {
			if f.rules.Begun() && f.rules.Beat(f.routeSet()) {
				f.again()
			}
		})
	})
}

// ask asks for the grant, now and again.
func (f *fan) ask() {
	sent := f.now()
	request, patience := f.rules.Ask(sent)
	if request == nil {
		f.later(int64(fanout.RenewEvery), f.ask)
		return
	}
	f.call(true, int64(patience), func(n *node, reply func(any, error)) { f.b.feeds[n].grant(request, reply) }, func(a any, err error) {
		answer, _ := a.(*kvpb.GrantResponse)
		f.input(func() {
			if f.rules.Answered(sent, answer, err == errLate) {
				f.again()
			}
		})
		switch {
		case answer == nil:
			f.later(int64(fanout.RetryAfter), f.ask)
		case f.rules.Begun():
			f.later(int64(fanout.RenewEvery), f.ask)
		case !answer.Granted:
			f.later(int64(fanout.RetryAfter), f.ask)
		default:
			f.newest(3, api.Position{}, func(start api.Position, ok bool) {
				if ok && !f.rules.Begun() {
					f.input(func() { f.begin(start) })
				}
				f.later(int64(fanout.RetryAfter), f.ask)
			})
		}
	})
}

// request answers kv.history for a client.
func (f *fan) request(r *kvpb.HistoryRequest, keys fanout.Range, reply func(*kvpb.HistoryResponse, error)) {
	if !f.open {
		return // there is no subscription
	}
	s := f.current
	answer, question, err := s.History(r, keys, historyBytes)
	send := func(answer *kvpb.HistoryResponse, err error) {
		if err == nil && !s.Speaks(f.current, f.now()) {
			err = errBusy
		}
		reply(answer, err)
	}
	if question == nil {
		send(answer, err)
		return
	}
	f.w.report.StoreQuestions++
	f.poll(false, 2000*ms, question.Request, func(page *kvpb.FeedResponse, err error) {
		switch {
		case api.KindOf(err) == api.KindCompacted:
			send(nil, err)
			return
		case err == nil && !question.Behind(page):
			send(question.Answer(page))
			return
		}
		f.poll(true, 2000*ms, question.Request, func(page *kvpb.FeedResponse, err error) {
			if err != nil {
				send(nil, err)
				return
			}
			send(question.Answer(page))
		})
	})
}

// historyBytes bounds a page: little, so that there are many pages.
const historyBytes = 4 << 10

// errLate is no answer in time, errBusy one that says to ask again.
var (
	errLate = api.Errorf(api.KindTimeout, "no answer in time")
	errBusy = api.Errorf(api.KindUnavailable, "nobody answers right now")
)

// call sends a request to the leader, to every node that takes itself for one,
// or to any node, and calls done once.
func (f *fan) call(leader bool, patience int64, send func(n *node, reply func(any, error)), done func(any, error)) {
	over := false
	once := func(a any, err error) {
		if !over {
			over = true
			done(a, err)
		}
	}
	var to []*route
	for _, r := range f.b.routes[f] {
		if r.up() && r.n.up && (!leader || r.n.role.Serving) {
			to = append(to, r)
		}
	}
	if !leader && len(to) > 1 {
		to = slices.Clip(to[f.w.rng.IntN(len(to)):][:1])
	}
	if len(to) == 0 {
		f.later(f.w.between(0, 2), func() { once(nil, errBusy) })
		return
	}
	f.later(patience, func() { once(nil, errLate) })
	life := f.life
	for _, r := range to {
		r.toNode.send(func() {
			f.b.gates[r.n].pass(func() {
				send(r.n, func(a any, err error) {
					r.toFanout.send(func() {
						f.gate.pass(func() {
							if f.life == life {
								once(a, err)
							}
						})
					})
				})
			})
		})
	}
}
