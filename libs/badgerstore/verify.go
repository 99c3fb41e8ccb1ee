package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4/table"
)

// verification is of what a process finds in a data directory. Of a small
// database Open verifies all; of a larger one what Badger reads of each table
// when it opens it, and Scrub the rest while the node serves.
//
// Until then the file UNVERIFIED is in the directory: Badger reads tables in
// goroutines of its own, where damage ends the process. An Open that finds the
// file, however the process before it ended, verifies all before Badger reads
// anything.
type verification struct {
	path        string
	atOnceBytes int64 // of the tables of a database that is verified by Open
	pending     atomic.Bool
}

func newVerification(dir string, atOnceBytes int64) *verification {
	v := &verification{path: filepath.Join(dir, "UNVERIFIED"), atOnceBytes: atOnceBytes}
	if _, err := os.Stat(v.path); !errors.Is(err, fs.ErrNotExist) {
		v.atOnceBytes = math.MaxInt64
	}
	return v
}

// check verifies tables of a database in dir as far as it must be done before
// Badger opens them.
func (v *verification) check(dir string, tables []uint64) error {
	var bytes int64
	for _, number := range tables {
		info, err := os.Stat(table.NewFilename(number, dir))
		if errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, corruptf(dir, "table %s is missing", table.IDToFilename(number)))
		}
		if err != nil {
			return unreadable(dir, err)
		}
		bytes += info.Size()
	}
	whole := bytes <= v.atOnceBytes
	if !whole && !v.pending.Swap(true) {
		if err := errors.Join(os.WriteFile(v.path, nil, 0o600), syncDir(filepath.Dir(v.path))); err != nil {
			return fmt.Errorf("badgerstore: note that not all is verified: %w", err)
		}
	}
	return checkTables(dir, tables, whole, nil)
}

// done is called when all was verified.
func (v *verification) done() error {
	v.pending.Store(false)
	if err := os.Remove(v.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("badgerstore: note that all is verified: %w", err)
	}
	return nil
}
