package badgerstore

import (
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

var testIdentity = Identity{ClusterID: 7, NodeID: 1, Name: "node-1"}

// config is of a node in dir; rng varies what must not matter.
func config(dir string, rng *rand.Rand) Config {
	cfg := Config{Dir: dir, Identity: testIdentity, Bootstrap: storetest.Bootstrap()}
	if rng != nil {
		cfg.tune = tuning{
			log:          randomShape(rng, 16<<20),
			state:        randomShape(rng, 8<<20),
			tailBytes:    1 << rng.IntN(25),
			partBytes:    1 << (8 + rng.IntN(14)),
			truncateStep: 1 + rng.IntN(1000),
			atOnceBytes:  []int64{1, 64 << 20}[rng.IntN(2)],
		}
	}
	return cfg
}

func randomShape(rng *rand.Rand, memTableBytes int64) shape {
	return shape{
		memTableBytes:  memTableBytes << rng.IntN(2),
		baseTableBytes: 1 << (20 + rng.IntN(4)),
		blockBytes:     1 << (12 + rng.IntN(7)),
		newTables:      []int{1, 5}[rng.IntN(2)],
	}
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, vary := range []*rand.Rand{nil, rng} {
		storetest.Run(t, func(t *testing.T) storetest.Harness {
			dir := t.TempDir()
			s := open(t, config(dir, vary))
			return storetest.Harness{Node: s, Reopen: func(t *testing.T) store.Node {
				ok(t, s.Close())
				s = open(t, config(dir, vary))
				return s
			}}
		})
	}
}

func entry(index, term uint64, data []byte) *raftpb.Entry {
	return &raftpb.Entry{Index: &index, Term: &term, Data: data}
}
