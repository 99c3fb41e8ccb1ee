//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func (f *fault) slowDisk() error {
	n := f.anyNode()
	f.note("%s", n.Name())
	n.disk.slow(time.Duration(f.rng.IntN(5))*time.Millisecond, time.Duration(20+f.rng.IntN(400))*time.Millisecond)
	f.hold(2*time.Second, 8*time.Second)
	n.disk.slow(0, 0)
	return nil
}

// hungDisk stops a disk. The node may give up on it.
func (f *fault) hungDisk() error {
	n := f.leader()
	defer f.c.excuse(n)()
	n.disk.hang(true)
	f.hold(time.Second, 10*time.Second)
	n.disk.hang(false)
	f.hold(time.Second, 2*time.Second)
	return nil
}

// fullDisk takes space away: first so that the node refuses what grows, then all
// of it, where the node has to stop. On the leader the clients meet it.
func (f *fault) fullDisk() error {
	n := f.anyNode()
	if f.rng.IntN(2) == 0 {
		n = f.leader()
	}
	f.note("%s", n.Name())
	defer f.c.excuse(n)()
	n.disk.fill(40 << 20)
	f.hold(3*time.Second, 6*time.Second)
	n.disk.fill(uint64(1 + f.rng.IntN(4<<20)))
	f.hold(3*time.Second, 6*time.Second)
	n.disk.fill(0)
	return f.back(n)
}

// failingDisk fails every write: the node must stop, and may go on with what is
// on its disk when it is started again.
func (f *fault) failingDisk() error {
	n := f.anyNode()
	f.note("%s", n.Name())
	defer f.c.excuse(n)()
	n.disk.breakdown(true)
	f.hold(2*time.Second, 5*time.Second)
	n.disk.breakdown(false)
	return f.back(n)
}

// powerCut takes the power from nodes: the processes die, and of what they did
// not sync chance decides.
func (f *fault) powerCut(nodes ...*node) error {
	for _, n := range nodes {
		n.power.Lock()
		defer n.power.Unlock()
		done := f.c.excuse(n) // until it is killed it meets failures
		defer done()
		f.note("%s", n.Name())
		if err := n.disk.cut(f.rng); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		n.Kill()
		if err := n.disk.restore(); err != nil {
			return err
		}
	}
	f.hold(0, 2*time.Second)
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// back waits until a node that may have ended by itself answers again, so that it
// is excused until then.
func (f *fault) back(n *node) error {
	return f.c.until(f.ctx, n.Name()+" to be back", func() error {
		if s := f.c.status(f.ctx, n); s == nil || !s.Ready {
			return errors.New("it is not ready")
		}
		return nil
	})
}

// replaceDisk gives a node that is killed an empty disk.
func (f *fault) replaceDisk(n *node) error {
	n.Kill()
	entries, err := os.ReadDir(n.disk.dir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(n.disk.dir(), e.Name())); err != nil {
			return err
		}
	}
	return n.Start()
}

func (f *fault) loseDisk() error {
	n := f.anyNode()
	f.note("%s", n.Name())
	if err := f.replaceDisk(n); err != nil {
		return err
	}
	return f.back(n)
}

// burstKey is below what clients of a burst write.
const burstKey = "/burst/"

// snapshot keeps a follower away until the log no longer has what it needs.
func (f *fault) snapshot() error {
	n := f.follower()
	s := f.c.status(f.ctx, n)
	if s == nil {
		return nil // it is down: something else happened
	}
	n.Kill()
	stop, cancel := context.WithTimeout(f.ctx, 40*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := 0; stop.Err() == nil; k++ {
				_, _ = f.c.admin.Put(stop, fmt.Sprintf("%s%d/%d", burstKey, i, k%20), make([]byte, 2000)) // nobody counts on it
			}
		})
	}
	err := f.c.until(stop, "the log to be cut", func() error {
		for _, other := range f.c.nodes {
			if o := f.c.status(stop, other); o != nil && o.Leader == other.Name() && o.FirstIndex > s.RaftIndex+1 {
				return nil
			}
		}
		return errors.New("it is not")
	})
	cancel()
	wg.Wait()
	if err != nil {
		f.note("%v", err)
	}
	before := strings.Count(n.Log(), "received a snapshot")
	if err := n.Start(); err != nil {
		return err
	}
	if err := f.back(n); err != nil {
		return err
	}
	if strings.Count(n.Log(), "received a snapshot") == before {
		f.note("%s caught up without a snapshot", n.Name())
	}
	return nil
}
