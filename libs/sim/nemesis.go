package sim

import "github.com/kvorum/kvorum/libs/core/bus/membus"

// endMillis is how long after the end of all faults and renewals everything
// that can run out must have: the longest time to live, an election, and some.
const endMillis = 6000

func (w *world) startNemesis() {
	w.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: ms})
	var again func()
	again = func() {
		if !w.ending {
			w.harm()
			w.after(w.between(200, 2000), again)
		}
	}
	w.after(w.between(2000, 3000), again)
	w.upkeep()
}

// upkeep is what happens all the time.
func (w *world) upkeep() {
	w.judge.inspect()
	if n := w.nodes[w.rng.IntN(len(w.nodes))]; n.up && !n.paused {
		n.checkpoint()
	}
	w.after(w.between(200, 1000), w.upkeep)
}

// harm does something bad, to the leader more often than to others.
func (w *world) harm() {
	n := w.leader()
	if n == nil || w.chance(25) {
		n = w.nodes[w.rng.IntN(len(w.nodes))]
	}
	switch w.rng.IntN(9) {
	case 0:
		if n.up {
			w.report.Crashes++
			n.crash()
			w.after(w.between(100, 3000), func() { w.restart(n) })
		}
	case 1, 2:
		w.stop(n, w.between(300, 1000)) // too short for an election
	case 3, 8:
		w.stop(n, w.between(1000, 3000))
	case 4:
		d := w.between(500, 5000) // the whole cluster
		for _, n := range w.nodes {
			w.stop(n, d)
		}
	case 5, 6:
		w.report.Partitions++
		w.cut(n, w.chance(70), w.chance(70))
		w.after(w.between(300, 1200), w.net.HealAll)
	case 7:
		w.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: w.between(1, 30), Loss: 0.05, Duplicate: 0.02, Reorder: 0.1})
		w.after(w.between(200, 2000), func() { w.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: ms}) })
	}
}

func (w *world) stop(n *node, d int64) {
	if n.up && !n.paused {
		w.report.Pauses++
		life := n.life
		n.pause()
		w.after(d, func() {
			if n.life == life && n.up && n.paused {
				n.resume()
			}
		})
	}
}

func (w *world) restart(n *node) {
	if !n.up {
		n.start()
	}
}

// cut stops what a node sends to the others, what they send to it, or both.
func (w *world) cut(n *node, out, in bool) {
	for _, other := range w.nodes {
		if other != n && out {
			w.net.Cut(cluster, n.id, other.id)
		}
		if other != n && (in || !out) {
			w.net.Cut(cluster, other.id, n.id)
		}
	}
}

// heal ends every fault.
func (w *world) heal() {
	w.net.HealAll()
	w.net.SetFaults(membus.Faults{DelayMin: ms / 10, DelayMax: ms})
	for _, n := range w.nodes {
		if w.restart(n); n.paused {
			n.resume()
		}
	}
}
