//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

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
	before := noticed(n)
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
		if noticed(n) > before {
			f.note("it was rebuilt")
		} else {
			f.note("it went on")
		}
		return nil
	}
	f.note("%s did not rebuild itself, its disk is replaced: %.300s", n.Name(), tail(n))
	if err := f.replaceDisk(n); err != nil {
		return err
	}
	return f.back(n)
}

// noticed is how often a node has rebuilt itself.
func noticed(n *node) int { return strings.Count(n.Log(), "rebuilding: ") }

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
