package sim

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// A disk that was lost speaks for the entries that it held, and for no others of
// the same index.
func TestDurable(t *testing.T) {
	w := &world{o: Options{Nodes: 3}}
	disk := func(term uint64) *memstore.Store {
		s := memstore.New(w.bootstrap())
		if term > 0 {
			index := uint64(2)
			if err := s.Log().Append(store.Batch{Entries: []*raftpb.Entry{{Index: &index, Term: &term}}}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	for _, c := range []struct {
		lost  uint64
		found bool
	}{{5, false}, {4, true}, {0, true}} {
		w.nodes = []*node{
			{id: 1, store: disk(5)},
			{id: 2, store: disk(0)},
			{id: 3, store: disk(0), lost: []*memstore.Store{disk(c.lost)}},
		}
		found := false
		func() {
			defer func() { _, found = recover().(violation) }()
			newJudge(w).durable(w.nodes[0], mvcc.Entry{Index: 2, Term: 5})
		}()
		if found != c.found {
			t.Errorf("with an entry of term %d on the disk that was lost: a violation: %t, want %t", c.lost, found, c.found)
		}
	}
}
