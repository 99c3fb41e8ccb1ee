package badgerstore

import (
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

// TestEmptyFiles: what a power cut leaves of files that Badger has just created,
// a name without content, does not keep a node from starting.
func TestEmptyFiles(t *testing.T) {
	live := t.TempDir()
	s := filled(t, live)
	killed := image(t, live)
	ok(t, s.Close())
	for _, name := range []string{"log/000001.vlog", "log/00002.mem", "state-1/000001.vlog", "state-1/00002.mem"} {
		dir := image(t, killed)
		ok(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		if err := readAll(dir, 0); err != nil {
			t.Errorf("%s is empty: %v", name, err)
		}
	}
	s = open(t, config(killed, nil))
	ok(t, s.Log().Append(store.Batch{Entries: []*raftpb.Entry{entry(102, 1, nil)}}))
}
