package sim

import (
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// line carries things one way between two processes, in order, each a little
// later. What is under way when it breaks is lost.
type line struct {
	w    *world
	up   bool
	life int
	last int64 // when the newest arrives
}

func (l *line) send(do func()) {
	if !l.up {
		return
	}
	life := l.life
	l.last = max(l.last, l.w.now+l.w.rng.Int64N(2*ms))
	l.w.after(l.last-l.w.now, func() {
		if l.life == life {
			do()
		}
	})
}

func (l *line) cut() { l.up, l.life = false, l.life+1 }

// gate lets what arrives at a process through to it, in order, while it runs;
// what comes while it is stopped waits.
type gate struct {
	w       *world
	running func() bool // it is up and not stopped
	life    func() int  // counts its starts
	waiting []func()
	waits   int // the life that waiting is of
}

func (g *gate) pass(do func()) {
	life := g.life()
	if g.waits != life {
		g.waiting = nil // gone with the process
	}
	if len(g.waiting) == 0 && g.running() {
		do()
		return
	}
	if g.waiting = append(g.waiting, do); len(g.waiting) == 1 {
		g.waits = life
		g.watch(life)
	}
}

// watch looks now and then whether the process goes on.
func (g *gate) watch(life int) {
	g.w.after(10*ms, func() {
		switch {
		case g.waits != life: // another waits now
		case g.life() != life:
			g.waiting = nil
		case !g.running():
			g.watch(life)
		default:
			waiting := g.waiting
			g.waiting = nil
			for _, do := range waiting {
				do()
			}
		}
	})
}

// route connects the client bus of a fan-out replica with that of a node.
type route struct {
	f                *fan
	n                *node
	toNode, toFanout line
	// known are the connections at the node that the replica's server knows the
	// subscriptions of. It is replaced, never changed.
	known []*conn
	// lossy: until then it loses events now and then, of which only their tails
	// tell.
	lossy int64
}

// loses tells that a batch is lost, of events alone: a break that the replica does
// not notice lies between two beats, or takes more than one.
func (r *route) loses(batch []fanout.Message) bool {
	if r.f.w.now >= r.lossy || !r.f.w.chance(30) {
		return false
	}
	for _, m := range batch {
		if !strings.HasPrefix(m.Subject, api.SubjectWatch) {
			return false
		}
	}
	return true
}

func (r *route) up() bool { return r.toNode.up }

// connect makes the route work; the node tells what is subscribed at it.
func (r *route) connect() {
	if r.up() || !r.f.up || !r.n.up {
		return
	}
	r.toNode.up, r.toFanout.up = true, true
	for _, c := range r.f.b.conns {
		if c.n == r.n {
			r.subscribe(c)
		}
	}
}

func (r *route) subscribe(c *conn) {
	r.toFanout.send(func() {
		r.f.gate.pass(func() { r.known = append(r.known[:len(r.known):len(r.known)], c) })
	})
}

func (r *route) cut() {
	r.toNode.cut()
	r.toFanout.cut()
	r.known = nil
}

// reconnect is how long NATS servers wait before they connect again where a route
// is configured; one that they have learned of comes back at once.
const reconnect = 1000 * ms

// broken takes that the route is cut; it comes back by itself.
func (r *route) broken() {
	r.cut()
	wait := r.f.w.between(5, 100)
	if r.f.w.chance(50) {
		wait += reconnect
	}
	r.f.w.after(wait, func() { r.retry() })
}

func (r *route) retry() {
	if r.up() || r.f.isolated || !r.f.up || !r.n.up {
		return
	}
	r.connect()
}

// conn is one connection of a client with a node's client bus.
type conn struct {
	n        *node
	life     int // of the node
	watcher  *watcher
	subjects []string // of the subscriptions; one ends in ">"
	down     line     // to the client
	requests line     // from it
	broken   bool
}

// wants tells whether a message is subscribed to.
func (c *conn) wants(subject string) bool {
	for _, s := range c.subjects {
		if prefix, ok := strings.CutSuffix(s, ">"); ok && strings.HasPrefix(subject, prefix) || s == subject {
			return true
		}
	}
	return false
}

// deliver takes what the fan-out published.
func (c *conn) deliver(batch []fanout.Message) {
	if c.broken {
		return
	}
	var mine []fanout.Message
	for _, m := range batch {
		if c.wants(m.Subject) {
			mine = append(mine, m)
		}
	}
	if len(mine) > 0 {
		c.down.send(func() { c.watcher.arrive(mine) })
	}
}
