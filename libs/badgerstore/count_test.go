package badgerstore

import (
	"fmt"
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

// loaded is a state machine with so many keys, put in an order that jumps, each
// in a revision of its own.
func loaded(tb testing.TB, node store.Node, keys int) *mvcc.Machine {
	tb.Helper()
	m, err := mvcc.Open(node.State(), node.Log().Checkpoint())
	ok(tb, err)
	const stride = 1_000_003 // a prime, so that every key is met once
	for at := 0; at < keys; {
		e := mvcc.Entry{Index: m.Published().Index + 1, Term: 1}
		for ; at < keys && len(e.Commands) < 500; at++ {
			put := &kvpb.PutRequest{Key: benchKey(at * stride % keys), Value: make([]byte, 64)}
			e.Commands = append(e.Commands, &command.Command{Op: &command.Command_Put{Put: put}})
		}
		_, err := m.Apply([]mvcc.Entry{e})
		ok(tb, err)
	}
	return m
}

func benchKey(i int) []byte { return fmt.Appendf(nil, "/registry/pods/%08d", i) }

// TestCounts: counts of tens of thousands of keys, of now and of then, after a
// restart as well.
func TestCounts(t *testing.T) {
	const keys = 20_000
	node := open(t, config(t.TempDir(), nil))
	m := loaded(t, node, keys)
	index := m.Published().Index
	remove := &kvpb.DeleteRangeRequest{Key: benchKey(3000), RangeEnd: benchKey(8000)}
	_, err := m.Apply([]mvcc.Entry{{Index: index + 1, Term: 1, Commands: []*command.Command{{Op: &command.Command_DeleteRange{DeleteRange: remove}}}}})
	ok(t, err)
	check := func(p *mvcc.Published) {
		t.Helper()
		for _, c := range []struct{ revision, from, to, want int64 }{
			{0, 0, keys, 15_000}, {keys + 1, 0, keys, 20_000}, {0, 1000, 19_000, 13_000},
			{keys + 1, 1000, 19_000, 18_000}, {0, 2999, 8001, 2}, {keys / 2, 0, keys, keys/2 - 1},
		} {
			r := &kvpb.RangeRequest{Key: benchKey(int(c.from)), RangeEnd: benchKey(int(c.to)), Limit: 1, Revision: c.revision}
			for r.SortOrder = range kvpb.RangeRequest_SortOrder(3) {
				got, err := p.Range(r)
				ok(t, err)
				if got.Count != c.want {
					t.Errorf("%v: count %d, want %d", r, got.Count, c.want)
				}
			}
		}
	}
	check(m.Published())
	ok(t, node.State().Sync())
	again, err := mvcc.Open(node.State(), m.Published().Index)
	ok(t, err)
	check(again.Published())
}

// BenchmarkRange reads a page of 100 keys with its count, and counts alone.
func BenchmarkRange(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		for name, node := range map[string]func() store.Node{
			"memory": func() store.Node { return memstore.New(storetest.Bootstrap()) },
			"disk":   func() store.Node { return open(b, config(b.TempDir(), nil)) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, keys), func(b *testing.B) {
				p := loaded(b, node(), keys).Published()
				from, to := benchKey(keys/10), benchKey(keys*9/10)
				for name, r := range map[string]*kvpb.RangeRequest{
					"page":   {Key: from, RangeEnd: to, Limit: 100},
					"desc":   {Key: from, RangeEnd: to, Limit: 100, SortOrder: kvpb.RangeRequest_DESCEND},
					"then":   {Key: from, RangeEnd: to, Limit: 100, Revision: int64(keys) / 2},
					"last":   {Key: benchKey(keys - 100), RangeEnd: []byte{0}, Limit: 100}, // nothing to count
					"limit1": {Key: from, RangeEnd: to, Limit: 1},
					"count":  {Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true},
				} {
					b.Run(name, func(b *testing.B) {
						b.ReportAllocs()
						var count int64
						for b.Loop() {
							resp, err := p.Range(r)
							ok(b, err)
							count = resp.Count
						}
						b.ReportMetric(float64(count), "count")
					})
				}
			})
		}
	}
}
