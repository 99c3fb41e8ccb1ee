//go:build linux

package powerfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options of a disk.
type Options struct {
	// Strict: an fsync of a file does not cover its name. Some file systems
	// promise no more than that.
	Strict bool
}

// Stats counts since Mount.
type Stats struct {
	Writes, WrittenBytes, Syncs, Cuts uint64
}

// FS is a mounted disk. Its methods may be called at any time by any goroutine,
// Cut, Restore and Close by one at a time.
type FS struct {
	mountpoint, backing string
	opts                Options
	faults              faults

	writes, writtenBytes, syncs, cuts atomic.Uint64

	// power is read-locked by every operation on the disk and written by Cut.
	power  sync.RWMutex
	cycle  *cycle
	mount  *mount
	guard  *guard
	closed bool
}

// cycle is the time between two power cuts, and what is not flushed in it.
type cycle struct {
	fs  *FS
	off chan struct{} // closed by Cut

	// names guards inodes, journal and the names in the backing folder.
	names   sync.Mutex
	inodes  map[uint64]*inode // by their number in the backing folder
	journal journal
	removed int // names given out in the folder of removed files
	hold    *inode
	root    *inode
}

// Mount mounts the disk whose files are in backing/files; both folders are
// created if necessary. What is left of an earlier mount at mountpoint is taken
// away. The caller closes the disk.
func Mount(mountpoint, backing string, opts Options) (_ *FS, err error) {
	mountpoint, err1 := filepath.Abs(mountpoint)
	backing, err2 := filepath.Abs(backing)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("powerfs: %w", err)
	}
	detach(mountpoint)
	if err := os.MkdirAll(mountpoint, 0o755); err != nil {
		return nil, fmt.Errorf("powerfs: %w", err)
	}
	f := &FS{mountpoint: mountpoint, backing: backing, opts: opts}
	if f.guard, err = startGuard(mountpoint); err != nil {
		return nil, fmt.Errorf("powerfs: %w", err)
	}
	if err := f.powerOn(); err != nil {
		f.guard.release()
		return nil, err
	}
	return f, nil
}

// Files is the folder that holds what a reader of the mountpoint sees, the
// kernel's unwritten pages aside. After Cut it is what the disk holds.
func (f *FS) Files() string { return filepath.Join(f.backing, "files") }

// Stats returns the counters.
func (f *FS) Stats() Stats {
	return Stats{Writes: f.writes.Load(), WrittenBytes: f.writtenBytes.Load(), Syncs: f.syncs.Load(), Cuts: f.cuts.Load()}
}

// powerOn begins a cycle and mounts it.
func (f *FS) powerOn() error {
	held := filepath.Join(f.backing, "removed")
	if err := errors.Join(os.RemoveAll(held), os.MkdirAll(held, 0o700), os.MkdirAll(f.Files(), 0o755)); err != nil {
		return fmt.Errorf("powerfs: %w", err)
	}
	c := &cycle{fs: f, off: make(chan struct{}), inodes: make(map[uint64]*inode)}
	for path, in := range map[string]**inode{held: &c.hold, f.Files(): &c.root} {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("powerfs: open %s: %w", path, err)
		}
		if *in, err = c.intern(fd); err != nil {
			return fmt.Errorf("powerfs: %s: %w", path, err)
		}
	}
	m, err := newMount(c, f.mountpoint)
	if err != nil {
		c.close()
		return fmt.Errorf("powerfs: mount %s: %w", f.mountpoint, err)
	}
	f.power.Lock()
	defer f.power.Unlock()
	f.cycle, f.mount = c, m
	return nil
}

// Restore mounts the disk again after Cut. Processes from before the cut should
// be dead: they stay on the old mount, where every operation fails.
func (f *FS) Restore() error {
	select {
	case <-f.cycle.off:
	default:
		return errors.New("powerfs: Restore without Cut")
	}
	detach(f.mountpoint)
	return f.powerOn()
}

// Close unmounts the disk as a clean shutdown does. What was removed and not
// flushed is gone for good; no process keeps hanging in it. It may be called again.
func (f *FS) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	f.faults.clear()
	if err := unix.Unmount(f.mountpoint, 0); err != nil {
		detach(f.mountpoint)
	}
	f.power.Lock()
	f.cycle.names.Lock()
	f.cycle.powerOff()
	f.cycle.names.Unlock()
	f.power.Unlock()
	f.guard.release()
	return os.RemoveAll(filepath.Join(f.backing, "removed"))
}

// powerOff is called with power and names locked.
func (c *cycle) powerOff() {
	select {
	case <-c.off:
	default:
		close(c.off)
		c.close()
	}
}

// close closes the backing files. Nothing looks at them after off was closed.
func (c *cycle) close() {
	for _, in := range c.inodes {
		unix.Close(in.fd)
	}
	c.inodes = nil
}
