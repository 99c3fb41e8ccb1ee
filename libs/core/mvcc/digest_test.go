package mvcc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"google.golang.org/protobuf/proto"
)

// digestEntries have every kind of effect.
const digestEntries = `put{key:"a" value:"1"} msg_id:"1" request_hash:"h"
put{key:"a" value:"2"} msg_id:"2" principal:"p"
txn{success{delete_range{key:"a"}} success{put{key:"b" value:"3"}}}
compact{revision:3}
put{key:"b"} if_revision:1 msg_id:"3"`

// leaseEntries have every effect on leases and times to live.
const leaseEntries = `lease_grant{id:7 ttl_millis:1000} msg_id:"1"
put{key:"a" value:"1" lease:7}
put{key:"b" value:"1" ttl_millis:100}
lease_grant{id:8 ttl_millis:1000}
put{key:"c" value:"1" lease:8}
expire{keys{key:"b" mod_revision:3}}
lease_revoke{id:7} msg_id:"2"
expire{lease:8 granted:4096}`

func digestOf(t *testing.T, l limits, lines ...string) [32]byte {
	t.Helper()
	m, err := open(memstore.New(nil).State(), 0, l)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		if _, err := m.Apply([]Entry{{Index: uint64(i + 1), Commands: []*command.Command{parse(t, line, &command.Command{})}}}); err != nil {
			t.Fatal(err)
		}
	}
	return m.Published().Digest
}

// TestDigestIsStable: replicas of different versions compare their digests, so
// this one never changes.
func TestDigestIsStable(t *testing.T) {
	l := defaultLimits
	l.dedupBytes = 100 // evicts
	got := fmt.Sprintf("%x", digestOf(t, l, lines(digestEntries)...))
	if want := "4483b816780b2793753bb47d6966be7ce596a1bb53e3254d46097d8a5ed131a8"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	got = fmt.Sprintf("%x", digestOf(t, l, lines(leaseEntries)...))
	if want := "9e11ec876b0c9df806f2b550a0b2f6668e7835da62bdd744a0f25ee08d72e4a5"; got != want {
		t.Errorf("digest with leases %s, want %s", got, want)
	}
}

// TestEvictionIsStable: which ids are evicted is in the digest, so what an id
// counts never changes either.
func TestEvictionIsStable(t *testing.T) {
	m, err := open(memstore.New(nil).State(), 0, limits{dedupIDs: 40, dedupBytes: 3000, dedupResult: 60, deleteKeys: 100, leaseKeys: 9, answerBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for index := range uint64(60) {
		e := Entry{Index: index + 1}
		for n := range 10 {
			c := putCommand(strings.Repeat("k", 1+(7*int(index)+n)%50), []byte("value"))
			switch n {
			case 3:
				c.GetPut().PrevKv = true
			case 5:
				c.GetPut().TtlMillis = 300 * int64(index+1)
			case 7:
				c.IfRevision = new(int64)
			case 8:
				c = deleteCommand("k", "l")
			}
			c.MsgId, c.Principal, c.RequestHash = fmt.Sprint(index, n), strings.Repeat("p", n), make([]byte, index%30)
			e.Commands = append(e.Commands, c)
		}
		if _, err := m.Apply([]Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprintf("%x", m.Published().Digest), "2e4506ccbdd8cb0f09f3e635350a6c7ca6573ff43b6860179ea4a9aa3415bb9d"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestDigestCoversEffects: another effect is another digest, another answer is not.
func TestDigestCoversEffects(t *testing.T) {
	changedDigests(t, digestEntries, []changedLine{
		{0, `put{key:"a" value:"x"} msg_id:"1" request_hash:"h"`, false},
		{0, `put{key:"a" value:"1"} msg_id:"1" request_hash:"i"`, false},
		{0, `put{key:"a" value:"1"} msg_id:"9" request_hash:"h"`, false},
		{0, `put{key:"a" value:"1"} request_hash:"h"`, false},
		{1, `put{key:"a" value:"2"} msg_id:"2" principal:"q"`, false},
		{2, `txn{success{put{key:"b" value:"3"}} success{delete_range{key:"a"}}}`, false},
		{2, `txn{success{put{key:"b" value:"3"}}}`, false},
		{3, `compact{revision:4}`, false},
		{4, `put{key:"b"} if_revision:4 msg_id:"3"`, false},
		{1, `put{key:"a" value:"2" prev_kv:true} msg_id:"2" principal:"p"`, true},
		{2, `txn{success{range{key:"a"}} success{delete_range{key:"a"}} success{put{key:"b" value:"3"}}}`, true},
	})
	changedDigests(t, leaseEntries, []changedLine{
		{0, `lease_grant{id:7 ttl_millis:1001} msg_id:"1"`, false},
		{3, `lease_grant{id:9 ttl_millis:1000}`, false},
		{3, ``, false},
		{1, `put{key:"a" value:"1"}`, false},
		{1, `put{key:"a" value:"1" lease:8}`, false},
		{2, `put{key:"b" value:"1" ttl_millis:101}`, false},
		{2, `put{key:"b" value:"1"}`, false},
		{5, `delete_range{key:"b"}`, false},
		{5, `expire{keys{key:"b" mod_revision:2}}`, false},
		{5, `expire{keys{key:"b" mod_revision:3} keys{key:"a" mod_revision:3}}`, true},
		{6, `expire{lease:7 granted:1024} msg_id:"2"`, false},
		{7, `lease_revoke{id:8}`, false},
		{7, `expire{lease:8 granted:4097}`, false},
		{7, `expire{lease:8 granted:4096} msg_id:"3"`, false},
	})
	l := defaultLimits
	l.dedupBytes = 100
	if digestOf(t, l, lines(digestEntries)...) == digestOf(t, defaultLimits, lines(digestEntries)...) {
		t.Error("the digest does not cover what was evicted")
	}
	// A lease without keys makes no revision, but it ends.
	if digestOf(t, l, `lease_grant{id:1 ttl_millis:500}`, `lease_revoke{id:1}`) == digestOf(t, l, `lease_grant{id:1 ttl_millis:500}`, `lease_revoke{id:2}`) {
		t.Error("the digest does not cover the end of a lease")
	}
}

// changedLine is a line in the place of line n; same tells whether the digest stays.
type changedLine struct {
	n    int
	line string
	same bool
}

func changedDigests(t *testing.T, entries string, cases []changedLine) {
	t.Helper()
	base := lines(entries)
	want := digestOf(t, defaultLimits, base...)
	for _, c := range cases {
		changed := append([]string(nil), base...)
		changed[c.n] = c.line
		if got := digestOf(t, defaultLimits, changed...); (got == want) != c.same {
			t.Errorf("%s instead of %s: same digest %v", c.line, base[c.n], got == want)
		}
	}
}

// The state keeps no slot outside the window, and memory none that the state has.
func TestDedupLeavesNothingBehind(t *testing.T) {
	f := newFixture(t)
	f.dedup.limits.dedupBytes = 200
	for i := range 20 {
		c := putCommand("k", nil)
		c.MsgId = fmt.Sprint(i)
		f.apply(c, proto.Clone(c).(*command.Command))
		if n := f.stateKeys(prefixDedup); n != f.dedup.len() || n != len(f.dedup.index) || len(f.dedup.fresh) > 0 {
			t.Fatalf("%d slots, %d remembered, %d in the index, %d not cleared", n, f.dedup.len(), len(f.dedup.index), len(f.dedup.fresh))
		}
	}
	if n := f.dedup.len(); n < 2 || n > 5 {
		t.Errorf("%d ids are remembered", n)
	}
}

// failingState refuses to write.
type failingState struct{ store.State }

func (failingState) Write([]store.Mutation) error { return errors.New("disk on fire") }

func TestFailedWriteIsNotPublished(t *testing.T) {
	f := newFixture(t)
	f.apply(putCommand("a", []byte("1")))
	before := f.Published()
	f.st = failingState{f.st}
	for range 2 {
		if _, err := f.Apply([]Entry{{Index: 2, Commands: []*command.Command{putCommand("a", []byte("2"))}}}); err == nil {
			t.Error("applied though the write failed")
		}
	}
	if f.Published() != before {
		t.Error("published though the write failed")
	}
	if _, err := f.Trim(1); err == nil {
		t.Error("trimmed after a failure")
	}
}

func BenchmarkApplyPuts(b *testing.B) {
	m, err := Open(memstore.New(nil).State(), 0)
	if err != nil {
		b.Fatal(err)
	}
	value, hash := make([]byte, 256), make([]byte, 32)
	e := Entry{Term: 1}
	b.ReportAllocs()
	for i := range b.N {
		c := putCommand(fmt.Sprintf("key/%06d", i%100_000), value)
		c.MsgId, c.RequestHash = fmt.Sprintf("id/%019d", i), hash
		if e.Commands = append(e.Commands, c); len(e.Commands) < 256 && i < b.N-1 {
			continue
		}
		e.Index++
		if _, err := m.Apply([]Entry{e}); err != nil {
			b.Fatal(err)
		}
		e.Commands = nil
	}
}

// TestDigestAt: the digest as of an earlier index is what it was then, as long
// as the store has it.
func TestDigestAt(t *testing.T) {
	st := memstore.New(nil).State()
	m, err := Open(st, 0)
	if err != nil {
		t.Fatal(err)
	}
	var then [][32]byte
	for i, line := range lines(leaseEntries) {
		if _, err := m.Apply([]Entry{{Index: uint64(i + 1), Commands: []*command.Command{parse(t, line, &command.Command{})}}}); err != nil {
			t.Fatal(err)
		}
		then = append(then, m.Published().Digest)
	}
	last := uint64(len(then))
	for i := uint64(1); i <= last; i++ {
		if got, err := m.Published().DigestAt(i); err != nil || got != then[i-1] {
			t.Errorf("at %d: %x, %v", i, got, err)
		}
	}
	st.Discard(store.EndOf(3))
	for _, i := range []uint64{0, 2, last + 1} {
		if _, err := m.Published().DigestAt(i); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("at %d: %v", i, err)
		}
	}
}
