package mvcc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"google.golang.org/protobuf/proto"
)

// remembers is a random command with an id: a put, one with a large result, one
// that fails, or one that was there before.
func remembers(rng *rand.Rand, before []*command.Command) *command.Command {
	if n := rng.IntN(20); n == 0 && len(before) > 0 {
		return proto.Clone(before[rng.IntN(len(before))]).(*command.Command)
	}
	c := putCommand(fmt.Sprint(rng.IntN(50)), make([]byte, rng.IntN(3000)))
	c.MsgId, c.RequestHash = fmt.Sprint(len(before)), []byte("hash")
	switch rng.IntN(10) {
	case 0:
		c.GetPut().PrevKv = true
	case 1:
		c.GetPut().Key = []byte(strings.Repeat("k", 4000))
		c.IfRevision = new(int64)
	case 2:
		c.GetPut().IgnoreLease, c.GetPut().Key = true, []byte("none")
	case 3:
		c.GetPut().TtlMillis = 1000
	}
	return c
}

// TestPackedSlots: the ids that entries remember share records; whatever of the
// window is evicted, and wherever the machine is opened, the rest is found.
func TestPackedSlots(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 4))
		l := defaultLimits
		l.dedupIDs, l.dedupBytes = 2+rng.IntN(900), 1+rng.IntN(400_000)
		st := memstore.New(nil).State()
		m, err := open(st, 0, l)
		if err != nil {
			t.Fatal(err)
		}
		var all []*command.Command
		first := map[string]Result{}
		for range 8 {
			batch := make([]Entry, 1+rng.IntN(4))
			for i := range batch {
				batch[i] = Entry{Index: m.meta.index + 1 + uint64(i), Term: 1}
				for range 1 + rng.IntN(1+rng.IntN(300)) {
					c := remembers(rng, all)
					if batch[i].Commands = append(batch[i].Commands, c); c.MsgId == fmt.Sprint(len(all)) {
						all = append(all, c)
					}
				}
			}
			applied, err := m.Apply(batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, results := range applied.Results {
				for n, res := range results {
					if id := batch[i].Commands[n].MsgId; !res.Duplicate {
						first[id] = res
					} else {
						sameResult(t, id, res, first[id])
					}
				}
			}
			again, err := open(st, m.meta.index, l)
			if err != nil {
				t.Fatal(err)
			}
			if d, was := again.dedup, m.dedup; d.tail != was.tail || d.head != was.head || d.bytes != was.bytes || !reflect.DeepEqual(d.index, was.index) {
				t.Fatalf("opened at %d: %d ids from %d on, not %d from %d on", m.meta.index, d.len(), d.tail, was.len(), was.tail)
			}
			again.sameSlots(t, first)
			m.sameSlots(t, first)
		}
	}
}

func sameResult(t *testing.T, id string, got, want Result) {
	t.Helper()
	same := got.Duplicate && got.Revision == want.Revision && reflect.DeepEqual(got.Err, want.Err)
	if want.Response != nil && !got.Omitted {
		same = same && proto.Equal(got.Response, want.Response)
	}
	if !same {
		t.Fatalf("id %s: %+v, then %+v", id, want, got)
	}
}

// sameSlots checks that the window's results are those of then, and that the
// state has their records and no others.
func (m *Machine) sameSlots(t *testing.T, then map[string]Result) {
	t.Helper()
	view, err := m.st.Read(m.Published().TS)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	records := map[uint64]bool{}
	for number := m.dedup.tail; number < m.dedup.head; number++ {
		s, err := m.dedup.slot(view, number)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.result()
		if err != nil {
			t.Fatal(err)
		}
		sameResult(t, s.msgID, res, then[s.msgID])
		records[number-uint64(m.dedup.at(number).place)] = true
	}
	it := view.Scan([]byte{prefixDedup}, []byte{prefixDedup + 1}, false)
	defer it.Close()
	for it.Next() {
		first, err := decodeSlotKey(it.Key())
		if err != nil || !records[first] {
			t.Fatalf("a record with slots from %d on is left: %v", first, err)
		}
		if size := len(it.Value()); size > slotHeaderBytes+recordBytes {
			t.Errorf("a record has %d bytes", size)
		}
		delete(records, first)
	}
	if len(records) > 0 {
		t.Fatalf("records with slots from %v on are missing", records)
	}
}

// TestMissingSlots: a machine does not open without one of its records.
func TestMissingSlots(t *testing.T) {
	for _, missing := range []uint64{0, 2, 4} {
		f := newFixture(t)
		for i := range 3 {
			a, b := putCommand("k", nil), putCommand("k", nil)
			a.MsgId, b.MsgId = fmt.Sprint(i, "a"), fmt.Sprint(i, "b")
			f.apply(a, b)
		}
		if err := f.node.State().Write([]store.Mutation{deletion(appendSlotKey(nil, missing), f.Published().TS)}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f.node.State(), 3); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("opened without the ids from %d on: %v", missing, err)
		}
	}
}
