//go:build linux

package main

import "time"

// others are the addresses of all members but one.
func (f *fault) others(n *node) (addresses []string) {
	for _, h := range f.c.net.hosts {
		if h != n.host {
			addresses = append(addresses, h.address)
		}
	}
	return addresses
}

// holdCut lets a partition last: shorter or longer than what notices it.
func (f *fault) holdCut() { f.hold(time.Second, 9*time.Second) }

// isolate cuts a node off all other members, in both directions. Clients still
// reach it, so that those that know no other node are on its side.
func (f *fault) isolate(n *node) error {
	for _, h := range f.c.net.hosts {
		if h == n.host {
			continue
		}
		if err := f.c.net.drop(n.host, h.address, ""); err != nil {
			return err
		}
		if err := f.c.net.drop(h, n.host.address, ""); err != nil {
			return err
		}
	}
	f.holdCut()
	return f.c.net.heal()
}

// deaf makes the leader hear nothing of the other members, which hear it.
func (f *fault) deaf() error {
	n := f.leader()
	for _, address := range f.others(n) {
		if err := f.c.net.drop(n.host, address, ""); err != nil {
			return err
		}
	}
	f.holdCut()
	return f.c.net.heal()
}

// mute makes the other members hear nothing of the leader, which hears them.
func (f *fault) mute() error {
	n := f.leader()
	for _, h := range f.c.net.hosts {
		if h == n.host {
			continue
		}
		if err := f.c.net.drop(h, n.host.address, ""); err != nil {
			return err
		}
	}
	f.holdCut()
	return f.c.net.heal()
}

// cutBus takes one bus of a node away: that of the peers, or the routes between
// the servers that clients are on.
func (f *fault) cutBus(port string) error {
	n := f.anyNode()
	if f.rng.IntN(2) == 0 {
		n = f.leader()
	}
	f.note("%s", n.Name())
	for _, address := range f.others(n) {
		if err := f.c.net.drop(n.host, address, port); err != nil {
			return err
		}
	}
	f.holdCut()
	return f.c.net.heal()
}

// cutLink cuts two nodes off each other; both still reach the third.
func (f *fault) cutLink() error {
	i := f.rng.IntN(len(f.c.nodes))
	a, b := f.c.nodes[i], f.c.nodes[(i+1)%len(f.c.nodes)]
	f.note("%s %s", a.Name(), b.Name())
	if err := f.c.net.drop(a.host, b.host.address, ""); err != nil {
		return err
	}
	if err := f.c.net.drop(b.host, a.host.address, ""); err != nil {
		return err
	}
	f.holdCut()
	return f.c.net.heal()
}

// cutClients cuts a node off all clients.
func (f *fault) cutClients() error {
	n := f.leader()
	if err := f.c.net.drop(n.host, clientsAddress, ""); err != nil {
		return err
	}
	f.holdCut()
	return f.c.net.heal()
}

// cutFanouts cuts a fan-out off all nodes, so that it may still believe that it
// publishes.
func (f *fault) cutFanouts() error {
	h := f.c.net.hosts[nodesCount+f.rng.IntN(fanoutsCount)]
	f.note("%s", h.name)
	for _, n := range f.c.nodes {
		if err := f.c.net.drop(h, n.host.address, ""); err != nil {
			return err
		}
	}
	f.holdCut()
	return f.c.net.heal()
}
