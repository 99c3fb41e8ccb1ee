//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/client"
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
// of it, where the node has to stop.
func (f *fault) fullDisk() error {
	n := f.anyNode()
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

// rebuildPatience is how long a damaged node may take to notice and to rebuild
// itself.
const rebuildPatience = 45 * time.Second

// flip changes bits in a file of a node's state or log. Under a running node they
// change on the disk alone, as they do when a disk ages; what the kernel has read
// stays as it was. The node is started anew then, where it reads all of its files
// from the disk, so that no damage is left that could come to light together with
// the next.
func (f *fault) flip(part string, running bool) error {
	n := f.anyNode()
	f.note("%s", n.Name())
	defer f.c.excuse(n)()
	if !running {
		n.Kill()
	}
	file, err := f.flipBits(n, part)
	if err != nil {
		return err
	}
	if running {
		f.readAll(n)
		f.hold(0, 2*time.Second)
		n.Kill()
	}
	if file != "" {
		_ = command("dd", "of="+filepath.Join(n.disk.dir(), file), "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none") // gone with the node's own work
	}
	if err := n.Start(); err != nil {
		return err
	}
	f.readAll(n)
	ctx, cancel := context.WithTimeout(f.ctx, rebuildPatience)
	defer cancel()
	short := *f
	short.ctx = ctx
	if short.back(n) == nil || f.ctx.Err() != nil {
		return nil
	}
	f.note("%s did not rebuild itself, its disk is replaced: %.300s", n.Name(), tail(n))
	if err := f.replaceDisk(n); err != nil {
		return err
	}
	return f.back(n)
}

// flipsCount is how many bits are changed in a file.
const flipsCount = 24

// flipBits changes bits in used parts of one file of a node's disk, mostly of a
// table, and returns its path on the disk, "" where there is none.
func (f *fault) flipBits(n *node, part string) (string, error) {
	var tables, others []string
	data := filepath.Join(n.disk.files(), "data")
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(data, path)
		switch {
		case err != nil || !d.Type().IsRegular() || !strings.HasPrefix(rel, part):
		case strings.HasSuffix(path, ".sst"):
			tables = append(tables, path)
		case strings.HasSuffix(path, ".vlog"), strings.HasSuffix(path, ".mem"):
			others = append(others, path)
		}
		return nil // files come and go while the node runs
	})
	if err != nil {
		return "", err
	}
	f.rng.Shuffle(len(tables), func(i, j int) { tables[i], tables[j] = tables[j], tables[i] })
	f.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	files := append(tables, others...)
	if f.rng.IntN(3) == 0 {
		files = append(others, tables...)
	}
	for _, path := range files {
		if flipped, err := f.flipFile(path); err != nil {
			return "", err
		} else if flipped {
			file, err := filepath.Rel(n.disk.files(), path)
			f.note("%d bits of %s", flipsCount, file)
			return file, err
		}
	}
	f.note("no file of %s has anything in it yet", part)
	return "", nil
}

// flipFile changes bits of a file; false where it has nothing in it, or is gone.
func (f *fault) flipFile(path string) (bool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return false, nil
	}
	var places []int64
	for at, b := range content {
		if b != 0 {
			places = append(places, int64(at))
		}
	}
	if len(places) < 64 {
		return false, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false, nil
	}
	for range flipsCount {
		at := places[f.rng.IntN(len(places))]
		if _, err := file.WriteAt([]byte{content[at] ^ 1<<f.rng.IntN(8)}, at); err != nil {
			return false, errors.Join(err, file.Close())
		}
	}
	return true, file.Close()
}

// readAll makes a node read all that it has, so that it meets what is damaged.
func (f *fault) readAll(n *node) {
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	c, err := client.Connect(ctx, n.url)
	if err != nil {
		return
	}
	defer c.Close()
	for range 3 {
		_, _ = c.Range(ctx, client.All(), client.Serializable()) // the clients judge what is served
	}
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
