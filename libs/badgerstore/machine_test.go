package badgerstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

// TestMachine gives the same entries to state machines on this driver and on
// memstore, divided differently, each with restarts, kills, checkpoints, trims,
// discards and snapshots of its own or from the other. Whenever both have
// applied the same entries they must agree on everything.
func TestMachine(t *testing.T) {
	seeds(t, nil, func(t *testing.T, rng *rand.Rand) {
		d := &duet{t: t, rng: rng}
		disk := &replica{duet: d, name: "disk", node: open(t, config(t.TempDir(), rng))}
		disk.reopen = func() {
			s := disk.node.(*Store)
			dir := s.dir
			if rng.IntN(2) == 0 {
				dir = image(t, dir)
			}
			ok(t, s.Close())
			disk.node = open(t, config(dir, rng))
		}
		memory := &replica{duet: d, name: "memory", node: memstore.New(storetest.Bootstrap())}
		memory.reopen = func() { memory.node = memory.node.(*memstore.Store).Crash(rng) }
		d.replicas = []*replica{disk, memory}
		for _, r := range d.replicas {
			r.start()
		}
		for range 60 {
			d.round()
		}
	})
}

// duet is two replicas and their log.
type duet struct {
	t        *testing.T
	rng      *rand.Rand
	entries  []mvcc.Entry // from index 2 on
	results  [][]string   // of each entry, once one has applied it
	digests  map[uint64][32]byte
	replicas []*replica
	revision int64
}

// replica is a state machine on a store.
type replica struct {
	*duet
	name    string
	node    store.Node
	machine *mvcc.Machine
	reopen  func() // replaces node as after the end of a process
}

func (r *replica) start() {
	var err error
	r.machine, err = mvcc.Open(r.node.State(), r.node.Log().Checkpoint())
	ok(r.t, err)
	if r.chance(70) {
		r.node.State().Discard(r.machine.Published().DiscardTS) // The checkpoint is durable.
	}
}

func (r *replica) applied() uint64 { return r.machine.Published().Index }

func (d *duet) chance(percent int) bool { return d.rng.IntN(100) < percent }

func (d *duet) last() uint64 { return uint64(len(d.entries)) + 1 }

func (d *duet) round() {
	for range 1 + d.rng.IntN(8) {
		e := mvcc.Entry{Index: d.last() + 1, Term: 1}
		for range d.rng.IntN(6) {
			e.Commands = append(e.Commands, d.command())
		}
		d.entries = append(d.entries, e)
	}
	for _, r := range d.replicas {
		for range d.rng.IntN(12) {
			r.step()
		}
	}
	if d.chance(30) {
		for _, r := range d.replicas {
			for r.applied() < d.last() {
				r.apply()
			}
		}
		d.compare()
	}
}

func (r *replica) step() {
	switch n := r.rng.IntN(100); {
	case n < 60:
		r.apply()
	case n < 75:
		_, err := r.machine.Trim(r.rng.IntN(20))
		ok(r.t, err)
	case n < 87:
		r.checkpoint()
	case n < 90:
		ok(r.t, r.node.Log().Truncate(r.rng.Uint64N(r.node.Log().Checkpoint()+1)))
	case n < 94:
		r.reopen()
		r.start()
	case n < 97:
		if s, isDisk := r.node.(*Store); isDisk {
			merge(r.t, s)
		}
	default:
		for _, other := range r.replicas {
			if other.applied() > r.applied() {
				r.install(other)
			}
		}
	}
}

// apply applies some of the entries that follow, which the log gets first.
func (r *replica) apply() {
	before := r.machine.Published()
	first := before.Index + 1
	batch := r.entries[first-2 : min(r.last(), first+r.rng.Uint64N(6))-1]
	last, err := r.node.Log().LastIndex()
	ok(r.t, err)
	b := store.Batch{}
	for _, e := range batch {
		if e.Index > last {
			b.Entries = append(b.Entries, entry(e.Index, e.Term, nil))
		}
	}
	ok(r.t, r.node.Log().Append(b))
	// What was published stays readable meanwhile.
	want, reader := r.answers(before, rand.New(rand.NewPCG(first, 1))), make(chan string)
	go func() { reader <- r.answers(before, rand.New(rand.NewPCG(first, 1))) }()
	clones := make([]mvcc.Entry, len(batch))
	for i, e := range batch {
		clones[i] = mvcc.Entry{Index: e.Index, Term: e.Term}
		for _, c := range e.Commands {
			clones[i].Commands = append(clones[i].Commands, proto.CloneOf(c))
		}
	}
	applied, err := r.machine.Apply(clones)
	got := <-reader
	ok(r.t, err)
	if got != want {
		r.t.Fatalf("%s, as of entry %d while applying later ones:\n%.2000s\nwant\n%.2000s", r.name, before.Index, got, want)
	}
	for i, e := range batch {
		r.sameResults(e.Index, applied.Results[i])
	}
	r.sameDigest()
}

func (r *replica) sameResults(index uint64, results []mvcc.Result) {
	r.t.Helper()
	var got []string
	for _, result := range results {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(result.Response)
		ok(r.t, err)
		got = append(got, fmt.Sprintf("%x %v %d %v %v", text, result.Err, result.Revision, result.Duplicate, result.Omitted))
	}
	if n := int(index - 2); n == len(r.results) {
		r.results = append(r.results, got)
	} else if !slices.Equal(r.results[n], got) {
		r.t.Fatalf("%s, entry %d:\n%s\nwant\n%s", r.name, index, got, r.results[n])
	}
}

func (r *replica) sameDigest() {
	r.t.Helper()
	p := r.machine.Published()
	r.revision = max(r.revision, p.Revision)
	if r.digests == nil {
		r.duet.digests = make(map[uint64][32]byte)
	}
	want, known := r.digests[p.Index]
	r.digests[p.Index] = p.Digest
	if known && want != p.Digest {
		r.t.Fatalf("%s: digest %x after entry %d, want %x", r.name, p.Digest, p.Index, want)
	}
}

func (r *replica) checkpoint() {
	p := r.machine.Published()
	ok(r.t, r.node.State().Sync())
	ok(r.t, r.node.Log().Append(store.Batch{Checkpoint: p.Index}))
	if r.chance(70) {
		r.node.State().Discard(p.DiscardTS)
	}
}

// install replaces the state by the other's, as a snapshot does.
func (r *replica) install(other *replica) {
	index := other.applied()
	last, err := r.node.Log().LastIndex()
	ok(r.t, err)
	if index < last {
		return
	}
	view, err := other.node.State().Read(store.EndOf(index))
	ok(r.t, err)
	defer view.Close()
	in, err := r.node.Receive()
	ok(r.t, err)
	ok(r.t, view.Versions(func(m store.Mutation) error { return in.Write([]store.Mutation{m}) }))
	ok(r.t, in.Finish())
	snapshot := &raftpb.SnapshotMetadata{Index: &index, Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	ok(r.t, r.node.Log().Append(store.Batch{Install: &store.Install{Snapshot: snapshot, State: in}}))
	r.start()
	r.sameDigest()
}

// compare asks both the same.
func (d *duet) compare() {
	seed := d.rng.Uint64()
	var want string
	for i, r := range d.replicas {
		p := r.machine.Published()
		for n := range uint64(5) {
			// An earlier digest may be gone in one of them.
			if digest, err := p.DigestAt(p.Index - min(n, p.Index)); err == nil && digest != d.digests[p.Index-n] && d.digests[p.Index-n] != [32]byte{} {
				d.t.Fatalf("%s: digest %x of entry %d, want %x", r.name, digest, p.Index-n, d.digests[p.Index-n])
			}
		}
		var timers strings.Builder
		ok(d.t, p.Timers(func(timer mvcc.Timer) error {
			fmt.Fprintf(&timers, "%+v\n", timer)
			return nil
		}))
		got := fmt.Sprint(p.Index, p.Term, p.TS, p.Revision, p.Compacted, p.DiscardTS, p.Digest) +
			"\n" + timers.String() + d.answers(p, rand.New(rand.NewPCG(seed, 0)))
		if i == 0 {
			want = got
		} else if got != want {
			d.t.Fatalf("%s says\n%.4000s\nand %s\n%.4000s", r.name, got, d.replicas[0].name, want)
		}
	}
}

// answers shows what p answers to random questions. It may run in any goroutine.
func (d *duet) answers(p *mvcc.Published, rng *rand.Rand) string {
	var out strings.Builder
	say := func(answer fmt.Stringer, err error) {
		if err != nil && api.KindOf(err) == "" {
			fmt.Fprintf(&out, "%v\n", err)
			return
		}
		fmt.Fprintf(&out, "%v %v\n", answer, api.KindOf(err))
	}
	recent := func() int64 { // from just before the compacted revision on
		oldest := max(1, p.Compacted-1)
		return oldest + rng.Int64N(p.Revision-oldest+1)
	}
	for range 6 {
		r := &kvpb.RangeRequest{Key: someKey(rng), KeysOnly: rng.IntN(5) == 0, Limit: int64(rng.IntN(4))}
		if rng.IntN(3) > 0 {
			r.RangeEnd = []byte{0}
		}
		if rng.IntN(2) == 0 {
			r.Revision = recent()
		}
		say(p.Range(r))
		q := mvcc.EventQuery{After: api.End(recent() - 1), PrevKV: rng.IntN(2) == 0, Limit: rng.IntN(5)}
		page, err := p.Events(q)
		if err == nil {
			fmt.Fprintln(&out, page.Events, page.Through, page.More)
		} else {
			say(nil, err)
		}
		say(p.Lease(1+rng.Int64N(4), true))
	}
	return out.String()
}

func someKey(rng *rand.Rand) []byte { return fmt.Appendf(nil, "key%d", rng.IntN(12)) }

// command is a random one.
func (d *duet) command() *command.Command {
	rng := d.rng
	c := &command.Command{}
	for {
		switch n := rng.IntN(100); {
		case n < 50:
			c.Op = &command.Command_Put{Put: d.put()}
		case n < 65:
			r := &kvpb.DeleteRangeRequest{Key: someKey(rng), PrevKv: d.chance(50)}
			if d.chance(30) {
				r.RangeEnd = someKey(rng)
			}
			c.Op = &command.Command_DeleteRange{DeleteRange: r}
		case n < 80:
			key := someKey(rng)
			c.Op = &command.Command_Txn{Txn: &kvpb.TxnRequest{
				Compare: []*kvpb.Compare{{Key: key, Target: kvpb.Compare_VERSION, Result: kvpb.Compare_GREATER, Number: rng.Int64N(3)}},
				Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Put{Put: d.put()}}},
				Failure: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeRequest{Key: key, PrevKv: true}}}},
			}}
		case n < 88:
			c.Op = &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: 1 + rng.Int64N(3), TtlMillis: 1000 + rng.Int64N(9)}}
		case n < 92:
			c.Op = &command.Command_LeaseRevoke{LeaseRevoke: &kvpb.LeaseRevokeRequest{Id: 1 + rng.Int64N(3)}}
		default:
			c.Op = &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: max(1, d.revision-rng.Int64N(20))}}
		}
		if d.chance(30) {
			c.MsgId, c.RequestHash = fmt.Sprint(rng.IntN(30)), []byte{byte(rng.IntN(2))}
		}
		if mvcc.Check(c) == nil {
			return c
		}
	}
}

// put is sometimes of a value that takes several rows of the state.
func (d *duet) put() *kvpb.PutRequest {
	size := d.rng.IntN(40)
	if d.chance(2) {
		size = d.rng.IntN(1 << 20)
	}
	r := &kvpb.PutRequest{Key: someKey(d.rng), Value: []byte(strings.Repeat(string(rune('a'+d.rng.IntN(26))), size)), PrevKv: d.chance(20)}
	if d.chance(20) {
		r.Lease = 1 + d.rng.Int64N(3)
	}
	return r
}
