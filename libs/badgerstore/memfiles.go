package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// memFiles makes durable what was committed to a database, without a look at
// its directory: it keeps open the write-ahead files of the memtables that may
// hold unflushed data.
//
// Badger numbers the files of its memtables one after another, starts a new
// one before it writes a request, at most one a request, and writes to the
// newest only. So if found is called after every commit, and before the next
// one begins, the file after the newest known one can neither be missed nor be
// gone already, and an older file that was flushed once never needs it again.
// A file that Badger removes meanwhile is flushed through its descriptor,
// which does no harm.
//
// It is used by the one goroutine that commits.
type memFiles struct {
	dir      string
	next     int // number of the file that does not exist yet
	files    []*os.File
	dirDirty bool          // a file appeared since the directory was flushed
	flushes  atomic.Uint64 // of files, for tests: what a batch costs
}

// watchMemFiles is called after the database was opened, before the first
// commit. The files of earlier processes were flushed before it was opened.
func watchMemFiles(dir string) (*memFiles, error) {
	numbers, err := memNumbers(dir)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("badgerstore: no memtable file in %s", dir)
	}
	m := &memFiles{dir: dir, next: numbers[len(numbers)-1]}
	return m, m.found()
}

// found opens the files that commits have started.
func (m *memFiles) found() error {
	for {
		f, err := os.Open(memPath(m.dir, m.next))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("badgerstore: open a memtable file: %w", err)
		}
		m.files = append(m.files, f)
		m.next++
		m.dirDirty = true
	}
}

// sync returns when everything committed so far is on the device.
func (m *memFiles) sync() error {
	for _, f := range m.files {
		m.flushes.Add(1)
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("badgerstore: flush %s: %w", f.Name(), err)
		}
	}
	newest := len(m.files) - 1
	for _, f := range m.files[:newest] {
		f.Close()
	}
	m.files = append(m.files[:0], m.files[newest])
	if !m.dirDirty {
		return nil
	}
	m.dirDirty = false
	return syncDir(m.dir)
}

func (m *memFiles) close() {
	for _, f := range m.files {
		f.Close()
	}
	m.files = nil
}

// syncMemFiles flushes the file of every memtable in dir, and dir. A file that
// is gone when its turn comes has become a table, which Badger flushes before
// it removes the file.
func syncMemFiles(dir string) error {
	return syncEachMemFile(dir, func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) })
}

// syncLeftFiles flushes what an earlier process that was not closed may have left
// unflushed, and has the next reads be the device's. Tables are not among that:
// one is flushed before it is listed, and never written again.
func syncLeftFiles(dir string) error {
	forget := func(f *os.File) error {
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		// After an earlier failure the kernel may hold pages that it takes
		// for written and that are not.
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err := syncFile(filepath.Join(dir, badger.ManifestFilename), forget); err != nil {
		return err
	}
	return syncEachMemFile(dir, forget)
}

func syncEachMemFile(dir string, sync func(*os.File) error) error {
	numbers, err := memNumbers(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := syncFile(memPath(dir, n), sync); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// syncFile does nothing with a file that is not there.
func syncFile(path string, sync func(*os.File) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("badgerstore: open a file to flush: %w", err)
	}
	defer f.Close()
	if err := sync(f); err != nil {
		return fmt.Errorf("badgerstore: flush %s: %w", path, err)
	}
	return nil
}

func memPath(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%05d.mem", n)) }

// memNumbers are the numbers of the memtable files in dir, ascending.
func memNumbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: list %s: %w", dir, err)
	}
	var numbers []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.mem", &n); err == nil && filepath.Ext(e.Name()) == ".mem" {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("badgerstore: flush a directory: %w", err)
	}
	err = errors.Join(f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("badgerstore: flush the directory %s: %w", dir, err)
	}
	return nil
}
