//go:build linux

package powerfs

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// powerCuts runs a child on a store, again and again, cuts its power at random
// moments, and compares what is left with what it said was acknowledged.
func powerCuts(t *testing.T, seed uint64, rounds int, lie bool) error {
	rng := newRand(seed)
	disk, dir := mounted(t, Options{})
	defer disk.Close()
	data := filepath.Join(dir, "data")
	ok(t, os.Mkdir(data, 0o700))
	syncDir(t, dir)
	disk.LieAboutSync(lie)
	x := newExpectation()
	killed := false
	for round := range rounds {
		c := startChild(t, "store", data, rng.Uint64())
		lines := rng.IntN([]int{3, 150, 600}[rng.IntN(3)]) // 3: during the recovery
		if killed {
			lines = rng.IntN(5) // before what the killed process wrote is flushed
		}
		disk.SetDelay(0, time.Duration(rng.IntN(2)*rng.IntN(20))*time.Millisecond)
		for range lines {
			if rotated, err := filepath.Glob(filepath.Join(disk.Files(), "data/log/*.mem")); err == nil && len(rotated) > 1 && rng.IntN(3) == 0 {
				break // A memtable waits to become a table.
			}
			line := c.next()
			if line == "" {
				c.kill()
				return fmt.Errorf("round %d: the child ended: %s", round, c.stderr.String())
			}
			if err := x.see(line); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // to be anywhere between two lines
		var loss Loss
		var err error
		killed = rng.IntN(4) == 0 // and no more than that
		if !killed {
			loss, err = disk.Cut(rng)
			ok(t, err)
		}
		for _, line := range c.kill() {
			ok(t, x.see(line))
		}
		left := filepath.Join(disk.Files(), "data")
		copied := filepath.Join(t.TempDir(), "copy")
		ok(t, copyTree(copied, left))
		if killed {
			// The device need not hold all that can be read now.
			unsettled := *x
			err = unsettled.check(copied)
		} else {
			err = x.check(copied)
		}
		if err != nil {
			ok(t, copyTree(filepath.Join(t.ArtifactDir(), fmt.Sprint(seed)), left))
			return fmt.Errorf("round %d, after %d lines (%v): %w", round, lines, loss, err)
		}
		ok(t, os.RemoveAll(copied))
		if !killed {
			ok(t, disk.Restore())
		}
	}
	t.Logf("seed %d: %d rounds, the log ends at %d, %+v", seed, rounds, x.last, disk.Stats())
	return nil
}

// copyTree copies files without their holes.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(target, path)
	})
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	for off := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return out.Truncate(info.Size())
		}
		hole, err2 := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		off = hole
	}
}

var (
	cutsTime = flag.Duration("cuts.time", 8*time.Second, "how long TestStore goes on")
	cutsSeed = flag.Uint64("cuts.seed", 0, "the only seed of TestStore")
)

// TestStore cuts the power of libs/badgerstore. A seed decides what the store does
// and what a cut takes, but not the moment of the cut: repeat it.
func TestStore(t *testing.T) {
	for begin := time.Now(); time.Since(begin) < *cutsTime; {
		seed := *cutsSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		if err := powerCuts(t, seed, 5, false); err != nil {
			t.Fatalf("%v\nagain: go test ./tools/torture/powerfs -run 'TestStore$' -cuts.seed %d -cuts.time 1m -artifacts -outputdir /tmp", err, seed)
		}
	}
}

// TestStoreNotices: a disk that does not flush is found out.
func TestStoreNotices(t *testing.T) {
	for seed := range uint64(20) {
		if err := powerCuts(t, seed, 3, true); err != nil {
			t.Logf("seed %d: %v", seed, err)
			return
		}
	}
	t.Error("a disk that loses what was flushed was not noticed")
}
