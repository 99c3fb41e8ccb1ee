//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kvorum/kvorum/tools/torture/powerfs"
)

// powerDisk is a file system of the torture's own (powerfs).
type powerDisk struct {
	fs   *powerfs.FS
	path string
}

func newPowerDisk(dir string) (disk, error) {
	mountpoint, backing := filepath.Join(dir, "disk"), filepath.Join(dir, "backing")
	for _, d := range []string{mountpoint, backing} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	f, err := powerfs.Mount(mountpoint, backing, powerfs.Options{})
	if err != nil {
		return nil, fmt.Errorf("mounting a disk that can fail: %w", err)
	}
	return &powerDisk{f, mountpoint}, nil
}

func (d *powerDisk) dir() string             { return d.path }
func (d *powerDisk) files() string           { return d.fs.Files() }
func (d *powerDisk) restore() error          { return d.fs.Restore() }
func (d *powerDisk) hang(on bool)            { d.fs.Hang(on) }
func (d *powerDisk) slow(w, s time.Duration) { d.fs.SetDelay(w, s) }

func (d *powerDisk) cut(rng *rand.Rand) error {
	_, err := d.fs.Cut(rng)
	return err
}

func (d *powerDisk) breakdown(on bool) {
	errno := syscall.Errno(0)
	if on {
		errno = syscall.EIO
	}
	d.fs.FailWrites(errno)
}

func (d *powerDisk) fill(freeBytes uint64) {
	if freeBytes > 0 {
		freeBytes += used(d.fs.Files())
	}
	d.fs.Quota(freeBytes)
}

func (d *powerDisk) release() {
	d.hang(false)
	d.slow(0, 0)
	d.breakdown(false)
	d.fill(0)
}

func (d *powerDisk) close() { _ = d.fs.Close() } // the mount goes with the torture

// used is how many bytes the files of a folder take.
func used(dir string) (bytes uint64) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			bytes += uint64(st.Blocks) * 512
		}
		return nil // what has just been removed does not count
	})
	return bytes
}
