package mvcc

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// TestCounts is TestAgainstModel with many keys, so that segments split and join
// all the time. Beyond that it looks at the segments themselves, and at counts of
// every revision.
func TestCounts(t *testing.T) {
	seeds := 10
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 2)), revision: 1, bulk: 120}
			for i := range 600 {
				g.keys = append(g.keys, fmt.Sprintf("k%03d", i))
			}
			g.keys[0] = "\x00" // as a range's end it would mean something else
			h := newHistory(t, g, 60)
			h.replicate(t)
			h.sameSegments(t)
		})
	}
}

// everyCount holds counts of ranges at all revisions against the model.
func (h *history) everyCount(t *testing.T, p *Published) {
	t.Helper()
	for rev := max(1, p.Compacted); rev <= p.Revision; rev++ {
		for range 2 {
			r := &kvpb.RangeRequest{Revision: rev, Limit: int64(h.g.IntN(5)), CountOnly: h.g.chance(50)}
			r.SortOrder = kvpb.RangeRequest_SortOrder(h.g.IntN(3))
			r.Key, r.RangeEnd = h.g.bounds(100)
			got, err := p.Range(r)
			if want := len(h.model.states[rev].keys(r.Key, r.RangeEnd)); err != nil || got.Count != int64(want) {
				t.Fatalf("range %v: count %d %v, want %d", r, got.GetCount(), err, want)
			}
		}
	}
}

// sameSegments applies the entries in batches of another size: all versions of
// all rows of segments are the same, and what they say is true.
func (h *history) sameSegments(t *testing.T) {
	t.Helper()
	m, err := open(memstore.New(nil).State(), 0, h.limits)
	if err != nil {
		t.Fatal(err)
	}
	for rest := h.entries; len(rest) > 0; {
		n := min(1+h.g.IntN(9), len(rest))
		if _, err := m.Apply(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		h.checkSegments(t, m)
		h.everyCount(t, m.Published())
	}
	want, got := segmentVersions(t, h.first), segmentVersions(t, m)
	if !slices.Equal(got, want) {
		t.Fatalf("other versions of segments in other batches:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	again, err := open(m.st, m.meta.index, h.limits)
	if err != nil || !maps.Equal(segmentsOf(again), segmentsOf(m)) {
		t.Fatalf("segments after opening again: %v %v, want %v", segmentsOf(again), err, segmentsOf(m))
	}
}

func segmentsOf(m *Machine) map[string]int64 {
	found := map[string]int64{}
	m.segments.tree.Scan(func(g *segment) bool {
		found[g.first] = g.keys
		return true
	})
	return found
}

func segmentVersions(t *testing.T, m *Machine) (found []string) {
	t.Helper()
	view, err := m.st.Read(m.Published().TS)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	err = view.Versions(func(mut store.Mutation) error {
		if mut.Key[0] == prefixSegment {
			found = append(found, fmt.Sprintf("%q at %d.%d: %x %v", mut.Key, mut.TS.Index(), mut.TS%store.MaxCommands, mut.Value, mut.Delete))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkSegments: the segments have the keys that they say, and sizes within bounds.
func (h *history) checkSegments(t *testing.T, m *Machine) {
	t.Helper()
	segments, now := segmentsOf(m), h.model.states[m.meta.revision]
	firsts := slices.Sorted(maps.Keys(segments))
	for i, first := range firsts {
		end := "\x00"
		if i+1 < len(firsts) {
			end = firsts[i+1]
		}
		if want := len(now.keys([]byte(first), []byte(end))); segments[first] != int64(want) {
			t.Fatalf("entry %d: segment %q has %d keys, should be %d", m.meta.index, first, segments[first], want)
		}
		most := int64(h.limits.segmentKeys)
		if segments[first] > most || i > 0 && segments[firsts[i-1]]+segments[first] < most/4 {
			t.Fatalf("entry %d: segment %q has %d keys, of at most %d: %v", m.meta.index, first, segments[first], most, segments)
		}
	}
}

// TestWrongSegment: a row that says something else than the keys is found when
// the segment is split or has fewer keys than none, and one that is damaged when
// it is read.
func TestWrongSegment(t *testing.T) {
	l := defaultLimits
	l.segmentKeys = 8
	put := func(m *Machine, from, to int) error {
		e := Entry{Index: m.meta.index + 1}
		for i := from; i < to; i++ {
			e.Commands = append(e.Commands, putCommand(fmt.Sprintf("k%02d", i), nil))
		}
		_, err := m.Apply([]Entry{e})
		return err
	}
	for name, row := range map[string]func(b *batch, key []byte) store.Mutation{
		"wrong": func(b *batch, key []byte) store.Mutation { return b.row(key, nil, 1, 7) },
		"none":  func(b *batch, key []byte) store.Mutation { return b.row(key, nil, 1, 0) },
		"damaged": func(b *batch, key []byte) store.Mutation {
			return store.Mutation{Key: key, Value: []byte("?"), TS: b.src.ts}
		},
		"missing": func(b *batch, key []byte) store.Mutation { return deletion(key, b.src.ts) },
	} {
		st := memstore.New(nil).State()
		m, err := open(st, 0, l)
		if err == nil {
			err = put(m, 0, 5)
		}
		if err != nil {
			t.Fatal(err)
		}
		b := newBatch(m, nil, 0)
		b.src.ts = store.EndOf(1)
		if err := st.Write([]store.Mutation{row(b, []byte{prefixSegment})}); err != nil {
			t.Fatal(err)
		}
		m, err = open(st, 1, l)
		switch name {
		case "wrong":
			if err == nil {
				err = put(m, 10, 14)
			}
		case "none":
			if err == nil {
				_, err = m.Apply([]Entry{{Index: 2, Commands: []*command.Command{deleteCommand("k00", "")}}})
			}
		case "missing":
			if err == nil || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "earlier version") {
				t.Errorf("keys without segments: %v", err)
			}
			continue
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFullEntry: the last command of an entry that is as full as can be has the
// TS of the entry's end, at which segments split and join.
func TestFullEntry(t *testing.T) {
	l := defaultLimits
	l.segmentKeys = 8
	st := &uniqueState{State: memstore.New(nil).State()}
	m, err := open(st, 0, l)
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for index := range uint64(3) {
		e := Entry{Index: index + 1}
		for n := range store.MaxCommands {
			c := putCommand("k", nil)
			switch last := n == store.MaxCommands-1; {
			case index == 0 && n < 8, index == 1 && last: // to split it
				c = putCommand(fmt.Sprintf("k%d%d", index, n), nil)
			case index == 2 && last:
				c = deleteCommand("k0", "k9") // to join the parts
			}
			e.Commands = append(e.Commands, c)
		}
		entries = append(entries, e)
	}
	if _, err := m.Apply(entries); err != nil {
		t.Fatal(err)
	}
	if len(st.twice) > 0 {
		t.Errorf("given to the store twice: %q", st.twice)
	}
	p := m.Published()
	for rev, want := range map[int64]int64{
		2: 1, 8: 7, 9: 8, 1025: 9, 2048: 9, 2049: 10, 3072: 10, 3073: 1,
	} {
		if got, err := p.Range(countAll(rev)); err != nil || got.Count != want {
			t.Errorf("revision %d: count %d %v, want %d", rev, got.GetCount(), err, want)
		}
	}
	if segments := segmentsOf(m); len(segments) != 1 {
		t.Errorf("segments %v", segments)
	}
}

// TestCountsInsideEntry: revisions that commands of one entry made have counts
// of their own, for reads and for transactions, in the batch of the entry and
// after it.
func TestCountsInsideEntry(t *testing.T) {
	want := map[int64]int64{13: 12, 14: 13, 15: 14, 16: 13, 17: 13}
	l := defaultLimits
	l.segmentKeys = 8
	var load Entry
	for key := 'a'; key <= 'l'; key++ {
		load.Commands = append(load.Commands, putCommand(string(key), nil))
	}
	inside := Entry{Commands: []*command.Command{
		putCommand("e1", nil), putCommand("e2", nil), deleteCommand("e1", ""), putCommand("f", nil),
	}}
	txn := &kvpb.TxnRequest{}
	for rev := range want {
		txn.Success = append(txn.Success, &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: countAll(rev)}})
	}
	reads := Entry{Commands: []*command.Command{{Op: &command.Command_Txn{Txn: txn}}}}
	for _, sizes := range [][]int{{1, 1, 1}, {3}, {1, 2}, {2, 1}} {
		m, err := open(memstore.New(nil).State(), 0, l)
		if err != nil {
			t.Fatal(err)
		}
		entries := []Entry{load, inside, reads}
		var last *Applied
		for _, n := range sizes {
			batch := slices.Clone(entries[:n])
			for i := range batch {
				batch[i].Index = m.meta.index + 1 + uint64(i)
			}
			if last, err = m.Apply(batch); err != nil {
				t.Fatal(err)
			}
			entries = entries[n:]
		}
		results := last.Results[len(last.Results)-1][0].Response.(*kvpb.TxnResponse).Responses
		for i, op := range txn.Success {
			rev := op.GetRange().Revision
			if got := results[i].GetRange().Count; got != want[rev] {
				t.Errorf("batches %v, transaction at revision %d: count %d, want %d", sizes, rev, got, want[rev])
			}
			if got, err := m.Published().Range(countAll(rev)); err != nil || got.Count != want[rev] {
				t.Errorf("batches %v, revision %d: count %d %v, want %d", sizes, rev, got.GetCount(), err, want[rev])
			}
		}
		if len(segmentsOf(m)) != 3 {
			t.Errorf("segments %v", segmentsOf(m))
		}
	}
}

func countAll(revision int64) *kvpb.RangeRequest {
	return &kvpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true, Revision: revision}
}

// TestCountsWhileApplying: what is published keeps its counts while entries are applied.
func TestCountsWhileApplying(t *testing.T) {
	l := defaultLimits
	l.segmentKeys = 8
	m, err := open(memstore.New(nil).State(), 0, l)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	for index := range uint64(50) {
		before := m.Published()
		go func() {
			for range 10 {
				if got, err := before.Range(countAll(0)); err != nil || got.Count != int64(index) {
					read <- fmt.Errorf("after entry %d: count %d %w", index, got.GetCount(), err)
					return
				}
			}
			read <- nil
		}()
		put := putCommand(fmt.Sprintf("k%02d", index*37%50), nil)
		if _, err := m.Apply([]Entry{{Index: index + 1, Commands: []*command.Command{put}}}); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
}
