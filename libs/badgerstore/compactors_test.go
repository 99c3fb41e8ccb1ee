package badgerstore

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Compactors that rest begin again with the next write and do their work, time
// and again; then they rest, and nothing of them is left.
func TestCompactorsRest(t *testing.T) {
	opts := badger.DefaultOptions(t.TempDir()).WithLogger(nil).WithMemTableSize(1 << 20).WithNumCompactors(2).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).WithBaseTableSize(1 << 20).WithValueThreshold(100 << 10)
	db, err := badger.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := tend(db, time.Millisecond)
	defer c.close()
	resting := func() bool { return c.rest.Load() }
	for round := range 3 {
		eventually(t, "they rest", resting)
		value := make([]byte, 50<<10)
		for i := range 200 { // ten tables, more than Badger takes while none is merged
			c.wrote()
			err := db.Update(func(txn *badger.Txn) error {
				return txn.Set(fmt.Appendf(nil, "key %d %d", round, i), value)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "tables are merged", func() bool { return !needed(db) })
	}
	eventually(t, "they rest", resting)
	stacks := make([]byte, 1<<20)
	if s := string(stacks[:runtime.Stack(stacks, true)]); strings.Contains(s, "runCompactor") {
		t.Errorf("a compactor runs:\n%s", s)
	}
}

// eventually waits for what must come true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
