package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// minDescriptors is how many files the process must be able to open: the two
// databases keep every table open and mapped.
const minDescriptors = 1024

// dirLock is held as long as a process has the data directory open.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: lock the data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &dirLock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s: stop the other process, or give this node a directory of its own", ErrInUse, dir)
	}
	return nil, fmt.Errorf("badgerstore: lock the data directory %s: %w", dir, err)
}

func (l *dirLock) release() error { return l.f.Close() }

// checkDescriptors raises the soft limit of open files to the hard one.
func checkDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("badgerstore: read the limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			limit = raised
		}
	}
	return descriptorsEnough(limit)
}

func descriptorsEnough(limit unix.Rlimit) error {
	if limit.Cur < minDescriptors {
		return fmt.Errorf("%w: %d, at least %d are needed: raise it (ulimit -n, LimitNOFILE=, or ulimits: in a container)",
			ErrDescriptors, limit.Cur, minDescriptors)
	}
	return nil
}

func freeBytes(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("badgerstore: free space of %s: %w", dir, err)
	}
	return fs.Bavail * uint64(fs.Bsize), nil
}

func checkFree(dir string, least uint64) error {
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	if free < least {
		return fmt.Errorf("%w: %s has %d MiB left, starting takes %d MiB: free some space first",
			ErrNoSpace, dir, free>>20, least>>20)
	}
	return nil
}

// diskBytes is how much disk the files in dir take, holes not counted.
func diskBytes(dir string) uint64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var total uint64
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, e.Name()), &st) == nil {
			total += uint64(st.Blocks) * 512
		}
	}
	return total
}
