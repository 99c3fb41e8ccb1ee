package mvcc

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// packed is a machine with what it has told of its revisions.
type packed struct {
	*rand.Rand
	*Machine
	node      *memstore.Store
	events    []*kvpb.Event // of all revisions
	times     []store.TS    // of each revision, from 2 on
	revisions []int64       // after each entry
}

func newPacked(t *testing.T, seed uint64) *packed {
	p := &packed{Rand: rand.New(rand.NewPCG(seed, 3)), node: memstore.New(nil), revisions: []int64{1}}
	var err error
	if p.Machine, err = Open(p.node.State(), 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// command is a put most often, of a short or the longest key, or of several
// changes, of more than a block sometimes, or one that changes nothing.
func (p *packed) command() *command.Command {
	key := fmt.Sprintf("k%03d", p.IntN(400))
	switch n := p.IntN(200); {
	case n < 2:
		return deleteCommand("k", "l")
	case n < 10:
		return deleteCommand(key, key+"z")
	case n < 15:
		return deleteCommand("none", "")
	case n < 25:
		return p.several()
	case n < 27:
		return putCommand(key+strings.Repeat("x", api.MaxKeyBytes-len(key)), nil)
	}
	return putCommand(key, nil)
}

// several are puts in one transaction.
func (p *packed) several() *command.Command {
	c := &command.Command_Txn{Txn: &kvpb.TxnRequest{}}
	for i := range 2 + p.IntN(4) {
		put := putCommand(fmt.Sprintf("k%03d%d", p.IntN(400), i), nil).GetPut()
		c.Txn.Success = append(c.Txn.Success, &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: put}})
	}
	return &command.Command{Op: c}
}

// apply applies entries of up to so many commands, several at once.
func (p *packed) apply(t *testing.T, entries, commands int) {
	t.Helper()
	batch := make([]Entry, entries)
	for i := range batch {
		batch[i] = Entry{Index: p.meta.index + 1 + uint64(i), Term: 1}
		for range 1 + p.IntN(commands) {
			batch[i].Commands = append(batch[i].Commands, p.command())
		}
		if p.IntN(2) > 0 { // the last revision has several changes
			batch[i].Commands[len(batch[i].Commands)-1] = p.several()
		}
	}
	applied, err := p.Apply(batch)
	if err != nil {
		t.Fatal(err)
	}
	p.events = append(p.events, applied.Events...)
	for i, results := range applied.Results {
		for n, res := range results {
			if int(res.Revision) == len(p.times)+2 {
				p.times = append(p.times, store.At(batch[i].Index, n))
			}
		}
		p.revisions = append(p.revisions, int64(len(p.times)+1))
	}
}

// check compares what a machine, opened at some index, has of the revisions.
func (p *packed) check(t *testing.T, m *Machine) {
	t.Helper()
	now := m.Published()
	view, err := m.st.Read(now.TS)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	for revision := max(now.Compacted, 2); revision <= now.Revision; revision += 1 + p.Int64N(40) {
		if ts, err := revisionTS(view, revision); err != nil || ts != p.times[revision-2] {
			t.Fatalf("revision %d at %d: %v, want %d", revision, ts, err, p.times[revision-2])
		}
	}
	at := func(e *kvpb.Event) api.Position { return api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub} }
	// Positions of events, behind the last one of a revision, and the first of all.
	after := []api.Position{{}, {Revision: now.Revision, Sub: math.MaxInt64}, {Revision: now.Compacted - 1}, api.End(now.Compacted - 1), api.End(now.Revision)}
	for range 3 {
		if len(p.events) > 0 {
			from := at(p.events[p.IntN(len(p.events))])
			after = append(after, from, api.Position{Revision: from.Revision, Sub: int64(p.IntN(1 << 31))}, api.End(from.Revision))
		}
	}
	m.limits.events = 1 + p.IntN(3000)
	for _, from := range after {
		if from.Revision < 0 || from.Revision > now.Revision {
			continue
		}
		first, _ := slices.BinarySearchFunc(p.events, from, func(e *kvpb.Event, from api.Position) int {
			return max(-1, 2*at(e).Compare(from)-1)
		})
		end, _ := slices.BinarySearchFunc(p.events, now.Revision, func(e *kvpb.Event, r int64) int { return int(2*(e.Kv.ModRevision-r) - 1) })
		want := p.events[first:max(first, end)]
		gone := from.Revision < now.Compacted-1 || len(want) > 0 && want[0].Kv.ModRevision < now.Compacted
		got, whole, err := someEvents(now, from, 1+p.IntN(600))
		if gone && api.KindOf(err) == api.KindCompacted {
			continue
		}
		if !whole {
			want = want[:min(len(want), len(got))]
		}
		if err != nil || gone || !sameEvents(got, want) {
			t.Fatalf("at revision %d, compacted %d: after %v: %d events %v, want %d", now.Revision, now.Compacted, from, len(got), err, len(want))
		}
	}
}

// someEvents reads a few pages of the events after a position; whole tells
// whether nothing is left. All values are empty.
func someEvents(p *Published, after api.Position, limit int) (events []*kvpb.Event, whole bool, err error) {
	for range 3 {
		page, err := p.Events(EventQuery{After: after, Limit: limit})
		if err != nil {
			return nil, false, err
		}
		events = append(events, page.Events...)
		if !page.More {
			if page.Through != api.End(p.Revision) {
				err = fmt.Errorf("through %v at revision %d", page.Through, p.Revision)
			}
			return events, true, err
		}
		if !page.Through.After(after) {
			return nil, false, fmt.Errorf("no progress after %v", after)
		}
		after = page.Through
	}
	return events, false, nil
}

// TestPackedChanges: the revisions of large entries share records, and whatever
// page of them is asked for, by whatever machine, it has their events.
func TestPackedChanges(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		p := newPacked(t, seed)
		p.apply(t, 1, store.MaxCommands)
		for range 3 {
			p.apply(t, 1+p.IntN(3), 3)
			p.apply(t, 1+p.IntN(3), 100)
			p.check(t, p.Machine)
		}
		// Any index can be opened.
		for index := range p.meta.index {
			m, err := Open(p.node.State(), index)
			if err != nil || m.Published().Revision != p.revisions[index] {
				t.Fatalf("open at %d: %+v %v", index, m, err)
			}
			p.check(t, m)
		}
		// Somewhere in a record, or at the first revision of an entry.
		compactions := []int64{2, p.meta.revision}
		for _, last := range p.revisions[1:] {
			compactions = append(compactions, last+1-p.Int64N(2)*p.Int64N(last))
		}
		slices.Sort(compactions)
		for _, compacted := range compactions {
			if compacted <= p.meta.compacted || compacted > p.meta.revision {
				continue
			}
			compact := &command.Command{Op: &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: compacted}}}
			if _, err := p.Apply([]Entry{{Index: p.meta.index + 1, Term: 1, Commands: []*command.Command{compact}}}); err != nil {
				t.Fatal(err)
			}
			p.revisions = append(p.revisions, p.meta.revision)
			p.node.State().Discard(p.Published().DiscardTS)
			for more := true; more; {
				var err error
				if more, err = p.Trim(1 + p.IntN(4)); err != nil {
					t.Fatal(err)
				}
				p.check(t, p.Machine)
			}
			p.trimmedTo(t, compacted-1)
			p.check(t, p.copied(t))
		}
	}
}

// trimmedTo checks that every record has a revision from the given one on, and
// that the records of an entry are as few as they may be.
func (p *packed) trimmedTo(t *testing.T, revision int64) {
	t.Helper()
	view, err := p.st.Read(p.Published().TS)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	it := view.Scan([]byte{prefixChange}, []byte{prefixChange + 1}, false)
	defer it.Close()
	records := map[uint64]int{}
	for it.Next() {
		r, err := changeRecordAt(it)
		if err != nil || r.last < revision {
			t.Fatalf("record of revisions %d to %d is left, %d is compacted: %v", r.first, r.last, revision+1, err)
		}
		if size := len(it.Value()); r.first < r.last && size > changeHeaderBytes+recordBytes {
			t.Errorf("record of revisions %d to %d has %d bytes", r.first, r.last, size)
		}
		if r.first < r.last || r.complete && r.block == 0 {
			records[r.index]++
		}
	}
	for index, n := range records {
		if revisions := int(p.revisions[index] - p.revisions[index-1]); n > 3+revisions/30 {
			t.Errorf("%d revisions of entry %d take %d records", revisions, index, n)
		}
	}
}

// copied is a machine on a state received as a snapshot.
func (p *packed) copied(t *testing.T) *Machine {
	t.Helper()
	view, err := p.st.Read(p.Published().TS)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	other := memstore.New(nil)
	if err := view.Versions(func(mut store.Mutation) error { return other.State().Write([]store.Mutation{mut}) }); err != nil {
		t.Fatal(err)
	}
	m, err := Open(other.State(), p.meta.index)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMissingChanges: a record that is not there is noticed by whoever asks for
// its events, first, last or in between.
func TestMissingChanges(t *testing.T) {
	for _, last := range []int64{3, 5, 6} {
		f := newFixture(t)
		f.apply(putCommand("a", nil), putCommand("b", nil))
		f.apply(putCommand("a", nil), putCommand("b", nil))
		f.apply(putCommand("a", nil))
		if err := f.node.State().Write([]store.Mutation{deletion(appendChangeKey(nil, last, 0), f.Published().TS)}); err != nil {
			t.Fatal(err)
		}
		for after := range int64(6) {
			_, err := f.Published().Events(EventQuery{After: api.Position{Revision: after}})
			if errors.Is(err, store.ErrCorrupt) != (after < last) {
				t.Errorf("the record up to %d is missing: after %d: %v", last, after, err)
			}
		}
	}
}
