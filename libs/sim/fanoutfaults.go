package sim

// A fault of the fan-out meets the replica that publishes more often than
// others: it is where a takeover begins.
func (m *nemesis) fanout() *fan {
	b := m.w.watching
	if b == nil {
		return nil
	}
	f := b.fanouts[m.w.rng.IntN(len(b.fanouts))]
	for _, other := range b.fanouts {
		if other.open && m.w.chance(70) {
			f = other
		}
	}
	return f
}

func (m *nemesis) fanoutKill(*node) bool {
	f := m.fanout()
	if f == nil || !f.up {
		return false
	}
	f.kill()
	m.w.after(m.w.between(50, 5000), f.start)
	return true
}

// fanoutPause stops a replica for less than its grant lasts, or for longer.
func (m *nemesis) fanoutPause(*node) bool {
	f := m.fanout()
	if f == nil || !f.up || f.paused {
		return false
	}
	d := m.w.between(50, 800)
	if m.w.chance(40) {
		d = m.w.between(800, 8000)
	}
	if m.w.chance(50) {
		f.midway = d
	} else {
		f.stop(d)
	}
	return true
}

// fanoutCut breaks one route of a replica, which comes back by itself, lets it
// lose events, or breaks all of them for a while.
func (m *nemesis) fanoutCut(*node) bool {
	f := m.fanout()
	if f == nil || !f.up || f.isolated {
		return false
	}
	switch r := m.w.watching.routes[f][m.w.rng.IntN(len(m.w.nodes))]; m.w.rng.IntN(4) {
	case 0, 1:
		m.w.tell("the route from %s to node %d breaks", f.name, r.n.id)
		r.broken()
		return true
	case 2:
		m.w.tell("the route from %s to node %d loses events", f.name, r.n.id)
		r.lossy = m.w.now + m.w.between(500, 5000)
		return true
	}
	m.w.tell("%s is cut off", f.name)
	f.isolate(true)
	m.w.after(m.w.between(1000, 6000), func() { f.isolate(false) })
	return true
}
