package mvcc

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"google.golang.org/protobuf/proto"
)

const (
	modelWindow    = 8
	modelLeaseKeys = 3
)

// TestAgainstModel applies random entries in random batches, with crashes,
// checkpoints, compactions and trims in between, and compares everything that
// can be seen with the model, and digests with a machine that got the entries
// one by one and never restarted.
func TestAgainstModel(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), revision: 1}
			r := newHistory(t, g, 120)
			r.replicate(t)
		})
	}
}

// history is a log and what the model says of it.
type history struct {
	g       *generator
	limits  limits
	first   *Machine // that got the entries one by one
	model   *model
	entries []Entry
	results [][]Result // of each entry
	after   []*Published
	leases  []map[int64]modelLease // after each entry
	timers  timers                 // as told by the machine under test
}

func newHistory(t *testing.T, g *generator, count int) *history {
	h := &history{g: g, limits: defaultLimits, model: newModel(modelWindow, modelLeaseKeys)}
	h.limits.dedupIDs, h.limits.leaseKeys, h.limits.events = modelWindow, modelLeaseKeys, 7
	h.limits.segmentKeys = 4 + g.IntN(8+g.bulk/4)
	g.model = h.model
	m, err := open(memstore.New(nil).State(), 0, h.limits)
	if err != nil {
		t.Fatal(err)
	}
	h.first = m
	h.after, h.leases = append(h.after, m.Published()), append(h.leases, nil)
	for i := range count {
		e := Entry{Index: uint64(i + 1), Term: uint64(1 + i/10)}
		var want []Result
		for n := range g.IntN(6) {
			c := g.command()
			e.Commands = append(e.Commands, proto.Clone(c).(*command.Command))
			want = append(want, h.model.apply(c, store.At(e.Index, n)))
			g.revision = h.model.revision()
		}
		h.entries, h.results = append(h.entries, e), append(h.results, want)
		applied, err := m.Apply([]Entry{e})
		if err != nil {
			t.Fatal(err)
		}
		h.sameResults(t, i, applied.Results[0])
		h.after = append(h.after, m.Published())
		h.leases = append(h.leases, maps.Clone(h.model.leases))
	}
	return h
}

func (h *history) sameResults(t *testing.T, entry int, got []Result) {
	t.Helper()
	if len(got) != len(h.results[entry]) {
		t.Fatalf("entry %d: %d results, want %d", entry+1, len(got), len(h.results[entry]))
	}
	for n, want := range h.results[entry] {
		same := got[n].Revision == want.Revision && got[n].Duplicate == want.Duplicate && !got[n].Omitted
		if want.Err != nil {
			same = same && got[n].Err != nil && got[n].Err.Kind == want.Err.Kind && got[n].Err.ModRevision == want.Err.ModRevision &&
				got[n].Err.Compacted == want.Err.Compacted && got[n].Response == nil
		} else {
			same = same && got[n].Err == nil && proto.Equal(got[n].Response, want.Response)
		}
		if !same {
			t.Fatalf("entry %d command %d %v:\n got %+v\nwant %+v", entry+1, n, h.entries[entry].Commands[n], got[n], want)
		}
	}
}

// replicate applies the entries again, in another manner.
func (h *history) replicate(t *testing.T) {
	node := memstore.New(nil)
	defer func() { node.Close() }()
	m, err := open(node.State(), 0, h.limits)
	checkpoint := uint64(0)
	h.timers = timers{}
	for crashes := 0; err == nil && m.Published().Index < uint64(len(h.entries)); {
		first := int(m.Published().Index)
		batch := h.entries[first:min(len(h.entries), first+h.g.IntN(6))]
		h.applyBatch(t, m, batch)
		h.read(t, m.Published())
		if h.g.chance(30) {
			if _, err := m.Trim(h.g.IntN(20)); err != nil {
				t.Fatal(err)
			}
		}
		if h.g.chance(20) {
			discard := m.Published().DiscardTS
			if err := node.State().Sync(); err != nil {
				t.Fatal(err)
			}
			checkpoint = m.Published().Index
			if h.g.chance(70) {
				node.State().Discard(discard)
			}
		}
		if crashes < 12 && h.g.chance(15) {
			crashes++
			node = node.Crash(h.g.Rand)
			if m, err = open(node.State(), checkpoint, h.limits); err == nil {
				h.timers = scanTimers(t, m.Published())
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (h *history) applyBatch(t *testing.T, m *Machine, batch []Entry) {
	t.Helper()
	before := m.Published()
	applied, err := m.Apply(batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range batch {
		h.sameResults(t, int(e.Index)-1, applied.Results[i])
	}
	p := m.Published()
	want := h.after[p.Index]
	if p.Digest != want.Digest || p.Revision != want.Revision || p.Compacted != want.Compacted || p.Term != want.Term || p.TS != want.TS {
		t.Fatalf("after entry %d: %+v, want %+v", p.Index, p, want)
	}
	var events []*kvpb.Event
	for rev := before.Revision + 1; rev <= p.Revision; rev++ {
		events = append(events, withoutPrev(h.model.events[rev])...)
	}
	if !sameEvents(applied.Events, events) {
		t.Fatalf("after entry %d: events %v, want %v", p.Index, applied.Events, events)
	}
	h.timers.add(applied.Timers)
	if want := timersOf(h.leases[p.Index], h.model.states[p.Revision]); !h.timers.same(want) {
		t.Fatalf("after entry %d: timers told %v, want %v", p.Index, h.timers, want)
	}
}

func withoutPrev(events []*kvpb.Event) []*kvpb.Event {
	events = slices.Clone(events)
	for i, e := range events {
		events[i] = proto.Clone(e).(*kvpb.Event)
		events[i].PrevKv = nil
	}
	return events
}

func sameEvents(a, b []*kvpb.Event) bool {
	return slices.EqualFunc(a, b, func(x, y *kvpb.Event) bool { return proto.Equal(x, y) })
}

// read compares random reads of the published state with the model.
func (h *history) read(t *testing.T, p *Published) {
	t.Helper()
	h.g.revision = p.Revision
	for range 5 {
		r := h.g.ranges()
		want, wantErr := h.model.rangeOf(r, h.model.states[p.Revision], p.Revision, p.Compacted)
		got, err := p.Range(r)
		if wantErr != nil && api.KindOf(err) == wantErr.Kind || wantErr == nil && err == nil && proto.Equal(got, want) {
			continue
		}
		t.Fatalf("at entry %d: range %v:\n got %v %v\nwant %v %v", p.Index, r, got, err, want, wantErr)
	}
	q := EventQuery{After: api.End(h.g.rev() - 1), PrevKV: h.g.chance(50), Limit: h.g.IntN(4)}
	if h.g.chance(70) {
		q.Key, q.RangeEnd = h.g.bounds(70)
	}
	h.readEvents(t, p, q)
	h.readLeases(t, p)
}

// readLeases compares all that can be read of leases and one lock.
func (h *history) readLeases(t *testing.T, p *Published) {
	t.Helper()
	leases, now := h.leases[p.Index], h.model.states[p.Revision]
	if got, want := scanTimers(t, p), timersOf(leases, now); !got.same(want) {
		t.Fatalf("at entry %d: timers %v, want %v", p.Index, got, want)
	}
	ids := slices.SortedFunc(maps.Keys(leases), func(a, b int64) int { return cmp.Compare(uint64(a), uint64(b)) })
	after, limit := someLeases[h.g.IntN(len(someLeases))], int64(h.g.IntN(3))
	ids = slices.DeleteFunc(ids, func(id int64) bool { return uint64(id) <= uint64(after) })
	want := &kvpb.LeaseListResponse{Revision: p.Revision, Ids: ids}
	if want.More = limit > 0 && limit < int64(len(ids)); want.More {
		want.Ids = ids[:limit]
	}
	if got, err := p.Leases(after, limit); err != nil || !proto.Equal(got, want) {
		t.Fatalf("at entry %d: leases after %x, limit %d: %v %v, want %v", p.Index, after, limit, got, err, want)
	}
	for _, id := range someLeases {
		l, found := leases[id]
		want := &kvpb.LeaseInfoResponse{Revision: p.Revision, Id: id, TtlMillis: l.ttl}
		for _, key := range now.attached(id) {
			want.Keys = append(want.Keys, []byte(key))
		}
		got, err := p.Lease(id, true)
		if found != (err == nil) || found && !proto.Equal(got, want) || !found && api.KindOf(err) != api.KindLeaseNotFound {
			t.Fatalf("at entry %d: lease %x: %v %v, want %v %v", p.Index, id, got, err, want, found)
		}
	}
	name, n := h.g.key(), 1+h.g.IntN(3)
	queue := now.contenders(name)
	queue = queue[:min(n, len(queue))]
	got, err := p.Contenders(name, n)
	if err != nil || !slices.EqualFunc(got, queue, func(x, y *kvpb.KeyValue) bool { return proto.Equal(x, y) }) {
		t.Fatalf("at entry %d: contenders of %q: %v %v, want %v", p.Index, name, got, err, queue)
	}
}

func (h *history) readEvents(t *testing.T, p *Published, q EventQuery) {
	t.Helper()
	start := q.After.Revision + 1
	var want, got []*kvpb.Event
	for rev := start; rev <= p.Revision; rev++ {
		events := h.model.events[rev]
		if !q.PrevKV || rev == p.Compacted {
			events = withoutPrev(events)
		}
		for _, e := range events {
			if len(q.Key) == 0 || len(state{string(e.Kv.Key): nil}.keys(q.Key, q.RangeEnd)) > 0 {
				want = append(want, e)
			}
		}
	}
	for {
		page, err := p.Events(q)
		if start < p.Compacted {
			if api.KindOf(err) != api.KindCompacted {
				t.Fatalf("events %+v with %d compacted: %v", q, p.Compacted, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("events %+v: %v", q, err)
		}
		got = append(got, page.Events...)
		if !page.More {
			if end := api.End(p.Revision); page.Through != end && start <= p.Revision {
				t.Fatalf("events %+v: through %v, want %v", q, page.Through, end)
			}
			break
		}
		if !page.Through.After(q.After) {
			t.Fatalf("events %+v: no progress", q)
		}
		q.After = page.Through
	}
	if !sameEvents(got, want) {
		t.Fatalf("at entry %d: events %+v:\n got %v\nwant %v", p.Index, q, got, want)
	}
}

// TestSnapshot: the versions of a view, written into an empty store, are the
// same machine.
func TestSnapshot(t *testing.T) {
	g := &generator{Rand: rand.New(rand.NewPCG(99, 1)), revision: 1}
	h := newHistory(t, g, 60)
	node := memstore.New(nil)
	m, err := open(node.State(), 0, h.limits)
	if err != nil {
		t.Fatal(err)
	}
	h.timers = timers{}
	h.applyBatch(t, m, h.entries[:40])
	view, err := node.State().Read(m.Published().TS)
	if err != nil {
		t.Fatal(err)
	}
	other := memstore.New(nil)
	err = view.Versions(func(mut store.Mutation) error { return other.State().Write([]store.Mutation{mut}) })
	view.Close()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = open(other.State(), 40, h.limits); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		h.read(t, m.Published())
	}
	h.timers = scanTimers(t, m.Published())
	h.applyBatch(t, m, h.entries[40:])
}
