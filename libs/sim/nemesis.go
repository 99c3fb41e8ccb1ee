package sim

import (
	"errors"
	"reflect"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/store"
)

// nemesis does harm, and undoes it after a while.
type nemesis struct {
	w       *world
	weights []int64 // of faults
	total   int64
	over    bool
}

// faultKinds is the number of faults, and of the fields of Weights.
const faultKinds = 20

// faults are what the nemesis does to a node, in the order of Weights. Each
// reports whether it could.
var faults = [faultKinds]func(m *nemesis, n *node) bool{
	func(m *nemesis, n *node) bool { return m.crash(n, false) },
	func(m *nemesis, n *node) bool { return m.crash(n, true) },
	func(m *nemesis, _ *node) bool { return m.crashAll(false) },
	func(m *nemesis, _ *node) bool { return m.crashAll(true) },
	func(m *nemesis, n *node) bool { return m.pause(n, m.w.between(50, 1000)) },
	func(m *nemesis, n *node) bool { return m.pause(n, m.w.between(1000, 10_000)) },
	(*nemesis).pauseAll,
	(*nemesis).partition,
	(*nemesis).halves,
	(*nemesis).badNetwork,
	(*nemesis).slowDisk,
	(*nemesis).hungDisk,
	(*nemesis).fullDisk,
	(*nemesis).failedDisk,
	(*nemesis).bitRot,
	(*nemesis).lostDisk,
	(*nemesis).clockJump,
	(*nemesis).fanoutKill,
	(*nemesis).fanoutPause,
	(*nemesis).fanoutCut,
}

func (w *world) startNemesis() {
	m := &nemesis{w: w}
	w.nemesis = m
	v := reflect.ValueOf(w.o.Faults)
	for i := range v.NumField() {
		m.weights = append(m.weights, v.Field(i).Int())
		m.total += v.Field(i).Int()
	}
	m.calm()
	if m.total > 0 {
		w.after(w.between(1000, 3000), m.again)
	}
	for _, n := range w.nodes {
		w.after(w.between(0, w.o.CheckpointMillis), func() { w.upkeep(n) })
	}
	w.after(0, w.drift)
	w.after(w.between(200, 1000), w.inspect)
	if w.o.KeepRevisions > 0 {
		w.after(w.between(200, 2000), w.compact)
	}
}

// again harms, now and after every while.
func (m *nemesis) again() {
	w := m.w
	if m.over {
		return
	}
	kind, at := 0, w.rng.Int64N(m.total)
	for ; at >= m.weights[kind]; kind++ {
		at -= m.weights[kind]
	}
	// The leader is harmed more often than others.
	n := w.leader()
	if n == nil || w.chance(40) {
		n = w.nodes[w.rng.IntN(len(w.nodes))]
	}
	w.fold(uint64(kind), n.id)
	if faults[kind](m, n) {
		w.report.Faults[kind]++
	}
	w.after(w.between(w.o.HarmMillis/4, 2*w.o.HarmMillis), m.again)
}

// whole: a node that nothing was done to.
func (n *node) whole() bool { return n.up && !n.paused }

func (m *nemesis) crash(n *node, power bool) bool {
	if !n.up {
		return false
	}
	m.w.tell("node %d is killed, power lost: %t", n.id, power)
	n.crash(power)
	m.restartAfter(n, 50, 5000)
	return true
}

func (m *nemesis) crashAll(power bool) bool {
	m.w.tell("all nodes are killed, power lost: %t", power)
	for _, n := range m.w.nodes {
		if n.up {
			n.crash(power)
		}
	}
	for _, n := range m.w.nodes {
		m.restartAfter(n, 50, 3000)
	}
	return true
}

// restartAfter starts a node after a while, and again where that does not last.
func (m *nemesis) restartAfter(n *node, low, high int64) {
	m.w.after(m.w.between(low, high), func() { m.w.restart(n) })
}

func (w *world) restart(n *node) {
	if n.up || n.outside || n.rejoining != nil {
		return
	}
	w.tell("node %d starts", n.id)
	n.guard(n.start)
}

// stopped is told that a node ended itself because of an error.
func (w *world) stopped(n *node, err error) {
	w.tell("node %d stops: %v", n.id, err)
	switch {
	case errors.Is(err, errDisk), errors.Is(err, errFull):
		w.report.Checks++
		if errors.Is(err, errDisk) {
			n.disk.fault = nil // another attempt may go well
			n.store.Fail(nil)
		}
	case errors.Is(err, store.ErrCorrupt) && n.disk.rotten:
		n.wipe(true)
		return
	default:
		w.fail("node %d stops: %v", n.id, err)
	}
	w.nemesis.restartAfter(n, 100, 3000)
}

func (m *nemesis) pause(n *node, d int64) bool {
	if !n.whole() {
		return false
	}
	m.w.tell("node %d is paused for %d ms", n.id, d/ms)
	life := n.life
	n.pause()
	m.w.after(d, func() {
		if n.life == life && n.up && n.paused {
			m.w.tell("node %d goes on", n.id)
			n.resume()
		}
	})
	return true
}

func (m *nemesis) pauseAll(*node) bool {
	d, any := m.w.between(300, 8000), false
	for _, n := range m.w.nodes {
		any = m.pause(n, d) || any
	}
	return any
}

// partition cuts a node off, in one direction or both.
func (m *nemesis) partition(n *node) bool {
	w := m.w
	if len(w.nodes) < 2 {
		return false
	}
	out, in := w.chance(70), w.chance(70)
	w.tell("node %d is cut off, out: %t, in: %t", n.id, out, in || !out)
	for _, other := range w.nodes {
		if other == n {
			continue
		}
		if out {
			w.net.Cut(cluster, n.id, other.id)
		}
		if in || !out {
			w.net.Cut(cluster, other.id, n.id)
		}
	}
	m.healNetAfter(200, 6000)
	return true
}

// halves divides the nodes in two, or leaves a single link out.
func (m *nemesis) halves(n *node) bool {
	w := m.w
	if len(w.nodes) < 2 {
		return false
	}
	if w.chance(30) {
		other := w.nodes[w.rng.IntN(len(w.nodes))]
		w.tell("nodes %d and %d do not reach each other", n.id, other.id)
		w.net.Cut(cluster, n.id, other.id)
		w.net.Cut(cluster, other.id, n.id)
		m.healNetAfter(200, 6000)
		return other != n
	}
	side := w.rng.Uint64()
	w.tell("the network falls apart: %b", side&(1<<len(w.nodes)-1))
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if side>>(a.id-1)&1 != side>>(b.id-1)&1 {
				w.net.Cut(cluster, a.id, b.id)
			}
		}
	}
	m.healNetAfter(200, 6000)
	return true
}

func (m *nemesis) healNetAfter(low, high int64) {
	m.w.after(m.w.between(low, high), func() {
		m.w.tell("the network is whole")
		m.w.net.HealAll()
	})
}

// calm sets the network that the options ask for.
func (m *nemesis) calm() {
	o := &m.w.o
	m.w.net.SetFaults(membus.Faults{DelayMin: o.NetMinMicros * us, DelayMax: max(o.NetMinMicros, o.NetMaxMicros) * us,
		Loss: float64(o.NetLoss) / 1000, Duplicate: float64(o.NetDuplicate) / 1000, Reorder: float64(o.NetReorder) / 1000})
}

func (m *nemesis) badNetwork(*node) bool {
	w := m.w
	f := membus.Faults{DelayMin: ms / 10, DelayMax: w.between(1, 100), Reorder: 0.1}
	if w.chance(70) {
		f.Loss, f.Duplicate = 0.2*w.rng.Float64(), 0.1*w.rng.Float64()
	}
	w.tell("the network is bad: %+v", f)
	w.net.SetFaults(f)
	w.after(w.between(200, 5000), m.calm)
	return true
}

func (m *nemesis) slowDisk(n *node) bool {
	n.disk.slow = 2 + m.w.rng.Int64N(50)
	m.w.tell("node %d's disk is %d times as slow", n.id, n.disk.slow)
	m.w.after(m.w.between(500, 5000), func() { n.disk.slow = 0 })
	return true
}

func (m *nemesis) hungDisk(n *node) bool {
	d := m.w.between(500, 8000)
	m.w.tell("node %d's disk hangs for %d ms", n.id, d/ms)
	n.disk.hungUntil = m.w.now + d
	return true
}

// fullDisk lets every write fail until there is space again. The node stops at
// the first, and at every start meanwhile.
func (m *nemesis) fullDisk(n *node) bool {
	m.w.tell("node %d's disk is full", n.id)
	n.disk.fault = errFull
	n.store.Fail(errFull)
	m.w.after(m.w.between(1000, 8000), func() {
		if n.disk.fault == errFull {
			m.w.tell("node %d's disk has space again", n.id)
			n.disk.mend(n)
		}
	})
	return true
}

// failedDisk lets the next write fail; the node must stop.
func (m *nemesis) failedDisk(n *node) bool {
	if !n.up {
		return false
	}
	m.w.tell("node %d's disk fails", n.id)
	n.disk.fault = errDisk
	n.store.Fail(errDisk)
	return true
}

// clockJump sets the wall clock of a node wrong: nothing may depend on it.
func (m *nemesis) clockJump(n *node) bool {
	n.time.wrong = m.w.between(-3_600_000, 3_600_000)
	m.w.tell("node %d's wall clock is off by %d ms", n.id, n.time.wrong/ms)
	return true
}

// heal ends every fault of the nodes that are not left outside.
func (w *world) heal() {
	w.net.HealAll()
	w.nemesis.calm()
	for _, n := range w.nodes {
		if n.outside {
			for _, other := range w.nodes {
				w.net.Cut(cluster, n.id, other.id)
				w.net.Cut(cluster, other.id, n.id)
			}
			continue
		}
		n.disk.mend(n)
		if w.restart(n); n.paused {
			n.resume()
		}
	}
}
