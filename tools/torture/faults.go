//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// What a kind of fault needs.
const (
	needsNetwork = 1 << iota // members with networks of their own
	needsPower               // disks that can fail
	needsStack               // containers
	needsFiles               // the files of the nodes
)

// kind is a kind of fault.
type kind struct {
	name  string
	needs int
	// alone: it breaks what the other members must make up for, so that no
	// other fault may come beside it.
	alone bool
	// strike injects it and returns when it has lasted; what is still broken
	// then is healed by the caller. Its error is the torture's own, never the
	// cluster's.
	strike func(f *fault) error
}

// fault is one fault that is injected.
type fault struct {
	ctx  context.Context
	c    *cluster
	rng  *rand.Rand
	any  []kind // what can be combined
	note func(format string, args ...any)
}

// kinds are all kinds of faults.
var kinds = []kind{
	{name: "kill-leader", strike: func(f *fault) error { return f.kill(f.leader()) }},
	{name: "kill-follower", strike: func(f *fault) error { return f.kill(f.follower()) }},
	{name: "kill-all", strike: (*fault).killAll},
	{name: "stop-leader", strike: func(f *fault) error { return f.restart(f.leader()) }},
	{name: "stop-follower", strike: func(f *fault) error { return f.restart(f.follower()) }},
	{name: "pause-leader", strike: func(f *fault) error { return f.pause(f.leader()) }},
	{name: "pause-follower", strike: func(f *fault) error { return f.pause(f.follower()) }},
	{name: "kill-fanout", strike: (*fault).killFanout},
	{name: "pause-fanout", strike: func(f *fault) error { return f.pause(f.fanout()) }},
	{name: "isolate-leader", needs: needsNetwork, strike: func(f *fault) error { return f.isolate(f.leader()) }},
	{name: "isolate-follower", needs: needsNetwork, strike: func(f *fault) error { return f.isolate(f.follower()) }},
	{name: "deaf-leader", needs: needsNetwork, strike: (*fault).deaf},
	{name: "mute-leader", needs: needsNetwork, strike: (*fault).mute},
	{name: "cut-peers", needs: needsNetwork, strike: func(f *fault) error { return f.cutBus(peerPort) }},
	{name: "cut-routes", needs: needsNetwork, strike: func(f *fault) error { return f.cutBus(routePort) }},
	{name: "cut-link", needs: needsNetwork, strike: (*fault).cutLink},
	{name: "cut-clients", needs: needsNetwork, strike: (*fault).cutClients},
	{name: "cut-fanouts", needs: needsNetwork, strike: (*fault).cutFanouts},
	{name: "disconnect-leader", needs: needsStack, strike: func(f *fault) error { return f.disconnect(f.leader()) }},
	{name: "disconnect-follower", needs: needsStack, strike: func(f *fault) error { return f.disconnect(f.follower()) }},
	{name: "slow-disk", needs: needsPower, strike: (*fault).slowDisk},
	{name: "hung-disk", needs: needsPower, strike: (*fault).hungDisk},
	{name: "full-disk", needs: needsPower, alone: true, strike: (*fault).fullDisk},
	{name: "failing-disk", needs: needsPower, alone: true, strike: (*fault).failingDisk},
	{name: "power-one", needs: needsPower, strike: func(f *fault) error { return f.powerCut(f.anyNode()) }},
	{name: "power-all", needs: needsPower, strike: func(f *fault) error { return f.powerCut(f.c.nodes...) }},
	{name: "flip-state", needs: needsFiles, alone: true, strike: func(f *fault) error { return f.flip("state-", false) }},
	{name: "flip-log", needs: needsFiles, alone: true, strike: func(f *fault) error { return f.flip("log", false) }},
	{name: "flip-running", needs: needsPower, alone: true, strike: func(f *fault) error { return f.flip("state-", true) }},
	{name: "lost-disk", needs: needsFiles, alone: true, strike: (*fault).loseDisk},
	{name: "snapshot", needs: needsFiles, alone: true, strike: (*fault).snapshot},
	{name: "combined", alone: true, strike: (*fault).combined},
}

// hold lets a fault last for a drawn time.
func (f *fault) hold(least, most time.Duration) {
	select {
	case <-f.ctx.Done():
	case <-time.After(least + time.Duration(f.rng.Int64N(int64(most-least)))):
	}
}

// leader is the node that leads, or any where none does.
func (f *fault) leader() *node {
	ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
	defer cancel()
	n := f.c.leader(ctx)
	if n == nil {
		n = f.anyNode()
	}
	f.note("%s", n.Name())
	return n
}

func (f *fault) follower() *node {
	ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
	defer cancel()
	leader := f.c.leader(ctx)
	for {
		if n := f.anyNode(); n != leader {
			f.note("%s", n.Name())
			return n
		}
	}
}

func (f *fault) anyNode() *node { return f.c.nodes[f.rng.IntN(len(f.c.nodes))] }

func (f *fault) fanout() member {
	p := f.c.fanouts[f.rng.IntN(len(f.c.fanouts))]
	f.note("%s", p.Name())
	return p
}

func (f *fault) kill(n *node) error {
	n.Kill()
	f.hold(0, 4*time.Second)
	return n.Start()
}

func (f *fault) killAll() error {
	for _, n := range f.c.nodes {
		n.Kill()
	}
	for _, n := range f.c.nodes {
		f.hold(0, 300*time.Millisecond)
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// stopPatienceOfNode is how long a node may take to stop in order.
const stopPatienceOfNode = 20 * time.Second

func (f *fault) restart(n *node) error {
	if !n.Terminate(stopPatienceOfNode) {
		f.note("%s did not stop in order", n.Name())
	}
	f.hold(0, 2*time.Second)
	return n.Start()
}

// pause stops a process for a while, long enough for the others to go on without
// it.
func (f *fault) pause(p member) error {
	p.Pause()
	f.hold(time.Second, 10*time.Second)
	p.Continue()
	f.hold(500*time.Millisecond, time.Second)
	return nil
}

func (f *fault) killFanout() error {
	p := f.fanout()
	p.Kill()
	f.hold(500*time.Millisecond, 4*time.Second)
	return p.Start()
}

// combined lets two or three faults come at once. Those that the majority has to
// make up for are not among them.
func (f *fault) combined() error {
	count := 2 + f.rng.IntN(2)
	done := make(chan error, count)
	for range count {
		k := f.any[f.rng.IntN(len(f.any))]
		one := &fault{ctx: f.ctx, c: f.c, rng: rand.New(rand.NewPCG(f.rng.Uint64(), 0)),
			note: func(format string, args ...any) { f.note(k.name+" "+format, args...) }}
		f.note("%s", k.name)
		go func() { done <- k.strike(one) }()
	}
	var first error
	for range count {
		if err := <-done; first == nil {
			first = err
		}
	}
	return first
}

// can reports whether a kind of fault is possible here.
func (c *cluster) can(k kind) bool {
	_, plain := c.nodes[0].disk.(plainDisk)
	able := map[int]bool{needsNetwork: c.net != nil, needsPower: !plain, needsStack: c.stack != nil, needsFiles: c.stack == nil}
	for need, met := range able {
		if k.needs&need != 0 && !met {
			return false
		}
	}
	return true
}

// heal ends everything that faults have broken, and starts what is down.
func (c *cluster) heal() error {
	if c.net != nil {
		if err := c.net.heal(); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		n.disk.release()
	}
	for _, p := range c.members() {
		p.Continue()
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}
