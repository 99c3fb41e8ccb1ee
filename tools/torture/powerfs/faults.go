//go:build linux

package powerfs

import (
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// faults is how the disk misbehaves while it has power.
type faults struct {
	mu         sync.Mutex
	writeDelay time.Duration
	syncDelay  time.Duration
	hung       chan struct{} // closed when the disk goes on; nil: it does not hang
	fail       syscall.Errno
	lie        bool
	quota      uint64 // bytes; 0: none
}

func (s *faults) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung != nil {
		close(s.hung)
	}
	s.writeDelay, s.syncDelay, s.hung, s.fail, s.lie, s.quota = 0, 0, nil, 0, false, 0
}

func (f *FS) setFault(set func(*faults)) {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	set(&f.faults)
}

// SetDelay makes every write and every flush take that much longer.
func (f *FS) SetDelay(write, sync time.Duration) {
	f.setFault(func(s *faults) { s.writeDelay, s.syncDelay = write, sync })
}

// Hang(true) stops reads, writes, flushes and changes of names until Hang(false),
// Cut or Close. A process that waits for one cannot be killed before.
func (f *FS) Hang(on bool) {
	f.setFault(func(s *faults) {
		switch {
		case on && s.hung == nil:
			s.hung = make(chan struct{})
		case !on && s.hung != nil:
			close(s.hung)
			s.hung = nil
		}
	})
}

// FailWrites makes writes, flushes and changes of names fail with errno, until it
// is called with 0.
func (f *FS) FailWrites(errno syscall.Errno) { f.setFault(func(s *faults) { s.fail = errno }) }

// LieAboutSync makes flushes succeed and do nothing. It is there to show that a
// test would notice.
func (f *FS) LieAboutSync(on bool) { f.setFault(func(s *faults) { s.lie = on }) }

// Quota is how many bytes the disk has, at most as much as the backing folder; 0
// removes it. When less is left than a write, file or folder takes, it fails with
// ENOSPC.
func (f *FS) Quota(bytes uint64) { f.setFault(func(s *faults) { s.quota = bytes }) }

// operation is what the faults tell apart.
type operation int

const (
	opLook   operation = iota // names and attributes
	opRead                    // of data
	opChange                  // and all other changes of names, sizes and modes
	opWrite
	opFlush
)

// enter is called at the begin of an operation, which ends with leave unless the
// result is an error. While it lasts there is no power cut.
func (c *cycle) enter(op operation) syscall.Errno {
	if errno := c.wait(op); errno != 0 {
		return errno
	}
	c.fs.power.RLock()
	select {
	case <-c.off:
		c.fs.power.RUnlock()
		return syscall.EIO
	default:
		return 0
	}
}

func (c *cycle) leave() { c.fs.power.RUnlock() }

// wait is the part of an operation that a power cut can interrupt.
func (c *cycle) wait(op operation) syscall.Errno {
	if op == opLook {
		return 0
	}
	s := &c.fs.faults
	s.mu.Lock()
	hung, delay := s.hung, time.Duration(0)
	switch op {
	case opWrite:
		delay = s.writeDelay
	case opFlush:
		delay = s.syncDelay
	}
	s.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-c.off:
			return syscall.EIO
		}
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.off:
			return syscall.EIO
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == opRead {
		return 0
	}
	return s.fail
}

func (s *faults) lies() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lie
}

// room fails where the disk has less than bytes left.
func (c *cycle) room(bytes int64) syscall.Errno {
	if _, free, ok := c.fs.space(); ok && free < uint64(bytes) {
		return syscall.ENOSPC
	}
	return 0
}

// space is how many bytes the quota gives, if there is one.
func (f *FS) space() (total, free uint64, ok bool) {
	f.faults.mu.Lock()
	total = f.faults.quota
	f.faults.mu.Unlock()
	if total == 0 {
		return 0, 0, false
	}
	return total, total - min(total, f.used()), true
}

// used is how many bytes the files take, holes not counted.
func (f *FS) used() (total uint64) {
	filepath.WalkDir(f.Files(), func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			total += uint64(st.Blocks) * 512
		}
		return nil // What has just been removed does not count.
	})
	return total
}
