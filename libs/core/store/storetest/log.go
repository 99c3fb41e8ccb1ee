package storetest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// wantLog checks that the log holds exactly these entries, in all ways to ask.
func (f *fixture) wantLog(base, baseTerm uint64, want []*raftpb.Entry) {
	f.t.Helper()
	log := f.node.Log()
	first, err := log.FirstIndex()
	f.ok(err)
	last, err := log.LastIndex()
	f.ok(err)
	if first != base+1 || last != base+uint64(len(want)) {
		f.t.Fatalf("log is %d..%d, want %d..%d", first, last, base+1, base+uint64(len(want)))
	}
	got, err := log.Entries(first, last+1, math.MaxUint64)
	f.ok(err)
	f.sameEntries(got, want)
	if term, err := log.Term(base); err != nil || term != baseTerm {
		f.t.Fatalf("term of %d: %d, %v; want %d", base, term, err, baseTerm)
	}
	for _, e := range want {
		if term, err := log.Term(e.GetIndex()); err != nil || term != e.GetTerm() {
			f.t.Fatalf("term of %d: %d, %v; want %d", e.GetIndex(), term, err, e.GetTerm())
		}
	}
	_, err = log.Term(last + 1)
	f.wantErr(err, raft.ErrUnavailable)
	_, err = log.Entries(first, last+2, math.MaxUint64)
	f.wantErr(err, raft.ErrUnavailable)
	_, err = log.Entries(base, last+1, math.MaxUint64)
	f.wantErr(err, raft.ErrCompacted)
	if base > 0 {
		_, err = log.Term(base - 1)
		f.wantErr(err, raft.ErrCompacted)
	}
	f.wantBytes(want)
}

// wantBytes allows for what a driver adds to an entry.
func (f *fixture) wantBytes(want []*raftpb.Entry) {
	f.t.Helper()
	var size uint64
	for _, e := range want {
		size += uint64(proto.Size(e))
	}
	got := f.node.Log().Bytes()
	if got < size || got > 2*size+64*uint64(len(want)) {
		f.t.Fatalf("Bytes is %d for %d entries of %d bytes", got, len(want), size)
	}
}

func (f *fixture) wantSnapshot(want *raftpb.SnapshotMetadata) {
	f.t.Helper()
	snapshot, err := f.node.Log().Snapshot()
	f.ok(err)
	got := snapshot.GetMetadata()
	if got.GetIndex() != want.GetIndex() || got.GetTerm() != want.GetTerm() {
		f.t.Fatalf("snapshot %v, want %v", got, want)
	}
	f.ok(got.GetConfState().Equivalent(want.GetConfState()))
}

func (f *fixture) sameEntries(got, want []*raftpb.Entry) {
	f.t.Helper()
	if len(got) != len(want) {
		f.t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		if !proto.Equal(got[i], want[i]) {
			f.t.Fatalf("entry %d of term %d is not the one written", got[i].GetIndex(), got[i].GetTerm())
		}
	}
}

func testLogBootstrap(t *testing.T, f *fixture) {
	for range 2 {
		f.wantLog(1, 1, nil)
		hard, conf, err := f.node.Log().InitialState()
		f.ok(err)
		if !raft.IsEmptyHardState(hard) {
			t.Fatalf("hard state %v", hard)
		}
		f.ok(conf.Equivalent(Bootstrap().GetConfState()))
		f.wantSnapshot(Bootstrap())
		if got := f.node.Log().Checkpoint(); got != 1 {
			t.Fatalf("checkpoint %d", got)
		}
		if got := f.scan(store.EndOf(1), "", "", false); got != "" {
			t.Fatalf("state %q", got)
		}
		f.reopen()
	}
}

func testLogAppend(t *testing.T, f *fixture) {
	var want []*raftpb.Entry
	for i := uint64(2); i < 40; i += 3 {
		more := entries(i, i+2, 1+i/10)
		f.append(store.Batch{Entries: more})
		want = append(want, more...)
		f.wantLog(1, 1, want)
	}
	configuration := entry(41, 9, "conf")
	configuration.Type = raftpb.EntryConfChangeV2.Enum()
	empty := &raftpb.Entry{Index: new(uint64(42)), Term: new(uint64(9))}
	f.append(store.Batch{Entries: []*raftpb.Entry{configuration, empty}})
	want = append(want, configuration, empty)
	f.wantLog(1, 1, want)
	f.reopen()
	f.wantLog(1, 1, want)
}

func testLogOverwrite(t *testing.T, f *fixture) {
	big := strings.Repeat("x", 1<<20+1<<19) // several records in a driver that cuts
	f.append(store.Batch{Entries: append(entries(2, 20, 1), entry(21, 1, big), entry(22, 1, "end"))})
	held, err := f.node.Log().Entries(10, 21, math.MaxUint64)
	f.ok(err)
	want := append(entries(2, 14, 1), entries(15, 16, 3)...)
	f.append(store.Batch{Entries: want[13:]})
	f.wantLog(1, 1, want)
	f.sameEntries(held, entries(10, 20, 1)) // What readers hold does not change.
	more := entries(17, 23, 4)
	f.append(store.Batch{Entries: more})
	want = append(want, more...)
	f.wantLog(1, 1, want)
	f.reopen()
	f.wantLog(1, 1, want)
	want = entries(2, 2, 5)
	f.append(store.Batch{Entries: want})
	f.wantLog(1, 1, want)
	f.reopen()
	f.wantLog(1, 1, want)
}

func testLogLimits(t *testing.T, f *fixture) {
	all := entries(2, 30, 1)
	f.append(store.Batch{Entries: all})
	for round := range 2 {
		log := f.node.Log()
		one := uint64(proto.Size(all[9]))
		for _, c := range []struct {
			lo, hi, maxSize uint64
			want            int
		}{
			{11, 31, 0, 1},
			{11, 31, 1, 1},
			{11, 31, one, 1},
			{11, 31, 2*one - 1, 1},
			{11, 31, 2 * one, 2},
			{11, 31, 2*one + 1, 2},
			{11, 13, math.MaxUint64, 2},
			{11, 12, 0, 1},
			{11, 11, math.MaxUint64, 0},
			{31, 31, math.MaxUint64, 0},
		} {
			got, err := log.Entries(c.lo, c.hi, c.maxSize)
			f.ok(err)
			f.sameEntries(got, all[c.lo-2:c.lo-2+uint64(c.want)])
			_ = append(got, entry(99, 99, "of the caller")) // The slice is the caller's.
		}
		f.wantLog(1, 1, all)
		if round == 0 {
			f.reopen()
		}
	}
}

func testLogTruncate(t *testing.T, f *fixture) {
	all := entries(2, 3000, 1)
	all = append(all, entries(3001, 3010, 2)...)
	f.append(store.Batch{Entries: all})
	f.refused(f.node.Log().Truncate(2), "a truncation past the checkpoint")
	f.append(store.Batch{Checkpoint: 3005})
	for _, index := range []uint64{0, 1, 2, 2500, 2400, 3000, 3001} {
		f.ok(f.node.Log().Truncate(index))
	}
	want := all[3000:] // from 3002
	f.wantLog(3001, 2, want)
	f.refused(f.node.Log().Truncate(3006), "a truncation past the checkpoint")
	f.wantSnapshot(Bootstrap())
	f.append(store.Batch{Checkpoint: 3010})
	f.ok(f.node.Log().Truncate(3010))
	f.wantLog(3010, 2, nil)
	f.reopen()
	f.wantLog(3010, 2, nil)
	want = entries(3011, 3020, 3)
	f.append(store.Batch{Entries: want})
	f.wantLog(3010, 2, want)
	f.reopen()
	f.wantLog(3010, 2, want)
}

func testLogRefusals(t *testing.T, f *fixture) {
	all := entries(2, 5, 1)
	f.append(store.Batch{Entries: all})
	log := f.node.Log()
	f.refused(log.Append(store.Batch{Entries: entries(7, 8, 1)}), "a gap")
	f.refused(log.Append(store.Batch{Entries: entries(1, 8, 1)}), "an entry below the first index")
	f.refused(log.Append(store.Batch{Entries: append(entries(6, 6, 1), entries(8, 8, 1)...)}), "a gap inside")
	f.refused(log.Append(store.Batch{Hard: hardState(1, 1, 6)}), "a commit index past the end")
	f.refused(log.Append(store.Batch{Checkpoint: 6}), "a checkpoint past the end")
	f.wantLog(1, 1, all)
	f.append(store.Batch{Entries: entries(6, 6, 1)}) // A refusal is no failure.
	f.wantLog(1, 1, entries(2, 6, 1))
}

func testLogLarge(t *testing.T, f *fixture) {
	var all []*raftpb.Entry
	sizes := []int{0, 100, 512 << 10, 512<<10 - 20, 1 << 20, 1600 << 10, 1700 << 10, 7}
	for i := uint64(2); i < 42; i++ {
		size := sizes[int(i)%len(sizes)]
		all = append(all, entry(i, 1, strings.Repeat(fmt.Sprint(i%10), size)))
	}
	f.append(store.Batch{Entries: all, Hard: hardState(3, 2, 41)}) // about 27 MiB
	f.wantLog(1, 1, all)
	got, err := f.node.Log().Entries(2, 42, 3<<20)
	f.ok(err)
	if len(got) == 0 || len(got) == len(all) {
		t.Fatalf("%d entries within 3 MiB", len(got))
	}
	f.sameEntries(got, all[:len(got)])
	f.reopen()
	f.wantLog(1, 1, all)
	f.append(store.Batch{Checkpoint: 30})
	f.ok(f.node.Log().Truncate(20))
	f.wantLog(20, 1, all[19:])
}

func hardState(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
}

func testLogHardState(t *testing.T, f *fixture) {
	want := hardState(4, 2, 1)
	f.append(store.Batch{Hard: want})
	f.append(store.Batch{Entries: entries(2, 6, 4)})
	check := func() {
		t.Helper()
		got, _, err := f.node.Log().InitialState()
		f.ok(err)
		if !proto.Equal(got, want) {
			t.Fatalf("hard state %v, want %v", got, want)
		}
	}
	check()
	f.reopen()
	check()
	want = hardState(5, 3, 7)
	f.append(store.Batch{Hard: want, Entries: entries(6, 8, 5), Checkpoint: 4})
	check()
	f.reopen()
	check()
	f.wantLog(1, 1, append(entries(2, 5, 4), entries(6, 8, 5)...))
}

func testCheckpoint(t *testing.T, f *fixture) {
	f.append(store.Batch{Entries: entries(2, 9, 1)})
	for _, c := range []struct{ set, want uint64 }{{4, 4}, {3, 4}, {0, 4}, {9, 9}, {1, 9}} {
		f.append(store.Batch{Checkpoint: c.set})
		if got := f.node.Log().Checkpoint(); got != c.want {
			t.Fatalf("checkpoint %d after %d, want %d", got, c.set, c.want)
		}
	}
	f.reopen()
	if got := f.node.Log().Checkpoint(); got != 9 {
		t.Fatalf("checkpoint %d after a restart", got)
	}
}
