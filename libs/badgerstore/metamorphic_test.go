package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

// TestMetamorphic does the same random operations on this driver and on
// memstore, with restarts, kills and random options in between, and compares
// every answer.
func TestMetamorphic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, round))
		dir := t.TempDir()
		m := &machine{t: t, rng: rng, dir: dir, index: 1,
			disk: open(t, config(dir, rng)), model: memstore.New(storetest.Bootstrap())}
		for range 250 {
			m.step()
		}
		m.compare()
		ok(t, m.disk.Close())
	}
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
}

func (m *machine) step() {
	switch n := m.rng.IntN(100); {
	case n < 40:
		m.write()
	case n < 65:
		m.append()
	case n < 75:
		m.read()
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
	case n < 96:
		m.restart()
	default:
		m.compare()
	}
}

func (m *machine) both(do func(store.Node) error) {
	m.t.Helper()
	ok(m.t, do(m.model))
	ok(m.t, do(m.disk))
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
	m.both(func(n store.Node) error { return n.State().Write(muts) })
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
	// The disk's versions go to both.
	view, err := m.disk.State().Read(ts)
	ok(m.t, err)
	var muts []store.Mutation
	ok(m.t, view.Versions(func(mut store.Mutation) error {
		mut.Key, mut.Value = slices.Clone(mut.Key), slices.Clone(mut.Value)
		muts = append(muts, mut)
		return nil
	}))
	view.Close()
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
	it := v.Scan(lower, upper, reverse)
	defer it.Close()
	var out strings.Builder
	for it.Next() {
		fmt.Fprintf(&out, "%s=%s\n", it.Key(), it.Value())
	}
	ok(t, it.Err())
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
