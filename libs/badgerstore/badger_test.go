package badgerstore

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
)

// The tests in this file show what Badger does that this package works around.
// When one fails after an update of Badger, the workaround it names can go.

// dirtyKiB is how much of each mapped memtable file under dir was written and
// not flushed.
func dirtyKiB(t *testing.T, dir string) map[string]int {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("dirty pages cannot be told here: %v", err)
	}
	defer f.Close()
	dirty := map[string]int{}
	name := ""
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line := scanner.Text()
		fields := strings.Fields(line)
		switch {
		case strings.Contains(fields[0], "-"):
			name = ""
			if path := fields[len(fields)-1]; strings.HasPrefix(path, dir) && filepath.Ext(path) == ".mem" {
				name = filepath.Base(path)
				dirty[name] = 0
			}
		case name != "" && (fields[0] == "Shared_Dirty:" || fields[0] == "Private_Dirty:"):
			var n int
			fmt.Sscan(fields[1], &n)
			dirty[name] += n
		}
	}
	return dirty
}

// TestBadgerSyncSkipsRotatedMemtables: DB.Sync leaves the memtables unflushed
// that wait to become tables. Workaround: memfiles.go.
func TestBadgerSyncSkipsRotatedMemtables(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.Open(newOptions(Config{}).badger(dir, newOptions(Config{}).log))
	ok(t, err)
	defer db.Close()
	value := make([]byte, 1<<20-100)
	for i := range 400 {
		ok(t, db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "%d", i), value) }))
		if i%8 != 0 {
			continue
		}
		ok(t, db.Sync())
		numbers, err := memNumbers(dir)
		ok(t, err)
		dirty := dirtyKiB(t, dir)
		newest := filepath.Base(memPath(dir, numbers[len(numbers)-1]))
		if dirty[newest] > 0 {
			t.Skip("this file system does not show what is flushed")
		}
		for name, n := range dirty {
			if n > 0 {
				t.Logf("after Sync: %d KiB of %s are not flushed; the newest is %s", n, name, newest)
				return
			}
		}
	}
	t.Error("DB.Sync covered every memtable: memfiles.go may not be needed any more")
}

// TestBadgerVerifyChecksumPanics: over a damaged block when blocks are also
// verified while reading. Workaround: guard, and NoVerification.
func TestBadgerVerifyChecksumPanics(t *testing.T) {
	dir := t.TempDir()
	opts := newOptions(Config{}).badger(dir, newOptions(Config{}).log)
	db, err := badger.Open(opts)
	ok(t, err)
	ok(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("k"), make([]byte, 10_000)) }))
	ok(t, db.Close())
	db, err = badger.Open(opts.WithChecksumVerificationMode(badgeroptions.OnTableAndBlockRead))
	ok(t, err)
	defer db.Close()
	change(t, onlyFile(t, dir, "*.sst"), 50, func(b []byte) { b[0] ^= 1 })
	defer func() {
		if recover() == nil {
			t.Error("VerifyChecksum does not panic any more: the guard around it may go")
		}
	}()
	t.Logf("VerifyChecksum returned %v", db.VerifyChecksum())
}
