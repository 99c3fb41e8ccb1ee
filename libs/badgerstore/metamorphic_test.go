package badgerstore

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

var (
	metamorphicTime = flag.Duration("metamorphic.time", 6*time.Second, "how long each metamorphic test goes on")
	metamorphicSeed = flag.Uint64("metamorphic.seed", 0, "the only seed of a metamorphic test")
)

// seeds calls run with one seed after the other: those that have once found
// something, then new ones until the time is up. A run ends the test when it fails.
func seeds(t *testing.T, known []uint64, run func(t *testing.T, rng *rand.Rand)) {
	t.Helper()
	begin := time.Now()
	for n := 0; n < len(known)+1 || time.Since(begin) < *metamorphicTime; n++ {
		seed := rand.Uint64()
		switch {
		case *metamorphicSeed != 0:
			seed = *metamorphicSeed
		case n < len(known):
			seed = known[n]
		}
		name := t.Name()
		passed := t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, rand.New(rand.NewPCG(seed, 0))) })
		if !passed {
			t.Fatalf("again: go test ./libs/badgerstore -run '%s$' -metamorphic.seed %d", name, seed)
		}
		if *metamorphicSeed != 0 {
			return
		}
	}
}

// TestMetamorphic does the same random operations on this driver and on
// memstore, with restarts, kills and random options in between, and compares
// every answer.
func TestMetamorphic(t *testing.T) {
	seeds(t, nil, func(t *testing.T, rng *rand.Rand) {
		dir := t.TempDir()
		m := &machine{t: t, rng: rng, dir: dir, index: 1,
			disk: open(t, config(dir, rng)), model: memstore.New(storetest.Bootstrap())}
		for range 250 {
			m.step()
		}
		m.compareHeld()
		m.compare()
		ok(t, m.disk.Scrub(nil))
		ok(t, m.disk.Close())
	})
}

type machine struct {
	t       *testing.T
	rng     *rand.Rand
	dir     string
	disk    *Store
	model   *memstore.Store
	index   uint64 // of the last entry
	term    uint64
	discard store.TS
	held    []heldView
}

// heldView is a view that stays open while the state goes on, and what it shows.
type heldView struct {
	view store.View
	want string
}

func (m *machine) step() {
	switch n := m.rng.IntN(100); {
	case n < 40:
		m.write()
	case n < 65:
		m.append()
	case n < 72:
		m.read()
	case n < 74:
		m.readLog()
	case n < 75:
		m.hold()
	case n < 80:
		m.checkpoint()
	case n < 84:
		index := m.rng.Uint64N(m.disk.Log().Checkpoint() + 1)
		m.both(func(n store.Node) error { return n.Log().Truncate(index) })
	case n < 88:
		m.discard = max(m.discard, m.randomTS())
		m.disk.State().Discard(m.discard)
		m.model.State().Discard(m.discard)
	case n < 91:
		m.install()
	case n < 95:
		m.restart()
	case n < 97:
		merge(m.t, m.disk)
	default:
		m.compare()
	}
}

func (m *machine) both(do func(store.Node) error) {
	m.t.Helper()
	ok(m.t, do(m.model))
	ok(m.t, do(m.disk))
}

// merge has Badger compact its tables, which drops what was discarded.
func merge(t *testing.T, s *Store) {
	t.Helper()
	ok(t, s.state.db.Flatten(1))
	ok(t, s.log.db.Flatten(1))
}

// randomTS is one that the state may hold.
func (m *machine) randomTS() store.TS {
	return store.TS(m.rng.Uint64N(uint64(store.EndOf(m.index)))) + 1
}

func (m *machine) write() {
	var muts []store.Mutation
	for n := range 1 + m.rng.IntN(30) {
		mut := store.Mutation{Key: fmt.Appendf(nil, "%02d", m.rng.IntN(60)), TS: store.At(m.index, 0) + store.TS(n)}
		if mut.TS <= m.discard {
			continue // Nothing is written there, only read.
		}
		// The same key at the same TS is the same mutation, as in a replay.
		mut.Delete = uint64(mut.TS)%3 == uint64(mut.Key[1])%3
		if !mut.Delete {
			mut.Value = []byte(strings.Repeat(fmt.Sprintf("%s at %d,", mut.Key, mut.TS), int(mut.TS%5)*int(mut.TS%200)))
		}
		muts = append(muts, mut)
	}
	before := max(m.discard, store.EndOf(m.index-1))
	want := m.showAll(m.model, before)
	ok(m.t, m.model.State().Write(muts))
	var got string
	reader := make(chan struct{})
	go func() { // Readers do not wait for writes.
		defer close(reader)
		got = m.showAll(m.disk, before)
	}()
	ok(m.t, m.disk.State().Write(muts))
	if <-reader; got != want {
		m.t.Fatalf("read at %d while writing after it:\n%.2000s\nwant\n%.2000s", before, got, want)
	}
}

// showAll shows all keys as of ts. It may run in any goroutine.
func (m *machine) showAll(n store.Node, ts store.TS) string {
	v, err := n.State().Read(ts)
	if err != nil {
		return err.Error()
	}
	defer v.Close()
	return show(v, nil, nil, false)
}

func (m *machine) hold() {
	ts := max(m.discard, m.randomTS())
	if ts.Index() >= m.index {
		return // Later writes may still belong to it.
	}
	v, err := m.disk.State().Read(ts)
	ok(m.t, err)
	m.held = append(m.held, heldView{v, m.showAll(m.model, ts)})
}

// compareHeld closes the views, which are to show what they showed.
func (m *machine) compareHeld() {
	m.t.Helper()
	for _, h := range m.held {
		if got := show(h.view, nil, nil, false); got != h.want {
			m.t.Fatalf("a view that was held:\n%.2000s\nwant\n%.2000s", got, h.want)
		}
		h.view.Close()
	}
	m.held = nil
}

// readLog asks for entries and terms that are there or not.
func (m *machine) readLog() {
	lo := m.rng.Uint64N(m.index + 3)
	hi, most := lo+1+m.rng.Uint64N(10), m.rng.Uint64N(20_000)
	m.same(fmt.Sprintf("entries %d..%d of %d bytes", lo, hi, most), func(n store.Node) string {
		term, err := n.Log().Term(lo)
		last, err2 := n.Log().LastIndex()
		ok(m.t, err2)
		var out strings.Builder
		fmt.Fprintln(&out, term, err)
		if hi > last+1 {
			return out.String() // Callers do not ask for it.
		}
		entries, err := n.Log().Entries(lo, hi, most)
		fmt.Fprintln(&out, err)
		for _, e := range entries {
			fmt.Fprintln(&out, e.GetIndex(), e.GetTerm(), len(e.GetData()))
		}
		return out.String()
	})
}

func (m *machine) append() {
	first := m.index + 1
	base := m.base()
	if back := m.rng.Uint64N(8); m.rng.IntN(4) == 0 && m.index > max(base, m.disk.Log().Checkpoint(), m.commit())+back {
		first -= back
		m.term++
	}
	b := store.Batch{}
	for i := range m.rng.Uint64N(12) {
		data := make([]byte, m.rng.IntN(5000))
		if m.rng.IntN(50) == 0 {
			data = make([]byte, 1200<<10)
		}
		b.Entries = append(b.Entries, entry(first+i, m.term+1, data))
		m.index = first + i
	}
	if m.rng.IntN(2) == 0 {
		commit := max(m.commit(), m.index-min(m.index, m.rng.Uint64N(20)))
		b.Hard = &raftpb.HardState{Term: new(m.term + 1), Vote: new(m.rng.Uint64N(4)), Commit: &commit}
	}
	m.both(func(n store.Node) error { return n.Log().Append(b) })
}

func (m *machine) base() uint64 {
	first, err := m.model.Log().FirstIndex()
	ok(m.t, err)
	return first - 1
}

func (m *machine) commit() uint64 {
	hard, _, err := m.model.Log().InitialState()
	ok(m.t, err)
	return hard.GetCommit()
}

func (m *machine) checkpoint() {
	m.both(func(n store.Node) error { return n.State().Sync() })
	b := store.Batch{Checkpoint: m.base() + m.rng.Uint64N(m.index-m.base()+1)}
	m.both(func(n store.Node) error { return n.Log().Append(b) })
}

func (m *machine) install() {
	ts := max(m.discard, m.randomTS())
	index := m.index + m.rng.Uint64N(5)
	snapshot := &raftpb.SnapshotMetadata{Index: &index, Term: new(m.term + 1), ConfState: &raftpb.ConfState{Voters: []uint64{index}}}
	// One's versions go to both.
	from := []store.Node{m.disk, m.model}[m.rng.IntN(2)]
	view, err := from.State().Read(ts)
	ok(m.t, err)
	var muts []store.Mutation
	ok(m.t, view.Versions(func(mut store.Mutation) error {
		mut.Key, mut.Value = slices.Clone(mut.Key), slices.Clone(mut.Value)
		muts = append(muts, mut)
		return nil
	}))
	view.Close()
	m.compareHeld()
	m.both(func(n store.Node) error {
		in, err := n.Receive()
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(muts, 1+m.rng.IntN(100)) {
			if err := in.Write(chunk); err != nil {
				return err
			}
		}
		if err := in.Finish(); err != nil || ts%3 == 0 {
			return errors.Join(err, in.Abort())
		}
		return n.Log().Append(store.Batch{Install: &store.Install{Snapshot: snapshot, State: in}})
	})
	if ts%3 != 0 {
		m.index = index
		m.disk.State().Discard(m.discard)
		m.model.State().Discard(m.discard)
	}
}

// restart closes the driver or leaves it as a kill would.
func (m *machine) restart() {
	m.compareHeld()
	dir := m.dir
	if m.rng.IntN(2) == 0 {
		dir = image(m.t, m.dir)
	}
	ok(m.t, m.disk.Close())
	m.dir = dir
	m.disk = open(m.t, config(dir, m.rng))
	m.model = m.model.Restart()
	m.disk.State().Discard(m.discard)
	m.model.State().Discard(m.discard)
	m.compare()
}

func (m *machine) read() {
	ts := max(m.discard, m.randomTS())
	lower, upper := fmt.Appendf(nil, "%02d", m.rng.IntN(60)), fmt.Appendf(nil, "%02d", m.rng.IntN(60))
	reverse := m.rng.IntN(2) == 0
	key := fmt.Appendf(nil, "%02d", m.rng.IntN(60))
	ask := func(n store.Node) string {
		v, err := n.State().Read(ts)
		ok(m.t, err)
		defer v.Close()
		value, err := v.Get(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			m.t.Fatal(err)
		}
		return fmt.Sprintf("%s %v\n%s", value, err != nil, dump(m.t, v, lower, upper, reverse))
	}
	m.same(fmt.Sprintf("read at %d of %s..%s", ts, lower, upper), ask)
}

func (m *machine) same(what string, ask func(store.Node) string) {
	m.t.Helper()
	if want, got := ask(m.model), ask(m.disk); got != want {
		m.t.Fatalf("%s:\n%.2000s\nwant\n%.2000s", what, got, want)
	}
}

func dump(t *testing.T, v store.View, lower, upper []byte, reverse bool) string {
	t.Helper()
	out := show(v, lower, upper, reverse)
	if strings.HasSuffix(out, "!") {
		t.Fatal(out)
	}
	return out
}

// show shows a range, and an error with a "!" at the end.
func show(v store.View, lower, upper []byte, reverse bool) string {
	it := v.Scan(lower, upper, reverse)
	defer it.Close()
	var out strings.Builder
	for it.Next() {
		fmt.Fprintf(&out, "%s=%s\n", it.Key(), it.Value())
	}
	if err := it.Err(); err != nil {
		fmt.Fprintf(&out, "%v!", err)
	}
	return out.String()
}

// compare asks for everything.
func (m *machine) compare() {
	m.t.Helper()
	m.same("log", func(n store.Node) string {
		log := n.Log()
		first, err := log.FirstIndex()
		ok(m.t, err)
		last, err := log.LastIndex()
		ok(m.t, err)
		term, err := log.Term(first - 1)
		ok(m.t, err)
		hard, conf, err := log.InitialState()
		ok(m.t, err)
		snapshot, err := log.Snapshot()
		ok(m.t, err)
		var out strings.Builder
		fmt.Fprintln(&out, first, last, term, log.Checkpoint(), hard.GetTerm(), hard.GetVote(), hard.GetCommit(), conf.GetVoters(), snapshot.GetMetadata().GetIndex())
		for lo := first; lo <= last; {
			got, err := log.Entries(lo, last+1, 100<<10)
			ok(m.t, err)
			for _, e := range got {
				fmt.Fprintln(&out, e.GetIndex(), e.GetTerm(), len(e.GetData()), proto.Size(e))
				lo++
			}
		}
		return out.String()
	})
	for _, ts := range []store.TS{max(1, m.discard), store.EndOf(m.index + 10)} {
		m.same(fmt.Sprintf("state at %d", ts), func(n store.Node) string {
			v, err := n.State().Read(ts)
			ok(m.t, err)
			defer v.Close()
			return dump(m.t, v, nil, nil, false) + dump(m.t, v, nil, nil, true)
		})
	}
}
