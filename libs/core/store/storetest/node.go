package storetest

import (
	"math"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// receive makes a finished state of these mutations.
func (f *fixture) receive(muts ...store.Mutation) store.Incoming {
	f.t.Helper()
	in, err := f.node.Receive()
	f.ok(err)
	f.ok(in.Write(muts))
	f.ok(in.Finish())
	return in
}

func snapshotAt(index, term uint64) *raftpb.SnapshotMetadata {
	return &raftpb.SnapshotMetadata{
		Index:     &index,
		Term:      &term,
		ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 4}, Learners: []uint64{5}},
	}
}

func testInstall(t *testing.T, f *fixture) {
	f.append(store.Batch{Entries: entries(2, 50, 1), Hard: hardState(1, 1, 40)})
	f.write(put("old", "1", store.At(2, 0)))
	old := f.node.State()
	in := f.receive(put("k", "1", store.At(30, 0)), put("k", "2", store.At(99, 0)), del("d", store.At(100, 0)))
	f.want(store.EndOf(100), "old", "1") // The state in use is still the old one.
	f.want(store.EndOf(100), "k", "-")
	hard := hardState(7, 3, 100)
	f.append(store.Batch{Hard: hard, Install: &store.Install{Snapshot: snapshotAt(100, 6), State: in}})
	f.ok(in.Abort()) // does nothing now
	for range 2 {
		f.wantLog(100, 6, nil)
		gotHard, conf, err := f.node.Log().InitialState()
		f.ok(err)
		if !proto.Equal(gotHard, hard) {
			t.Fatalf("hard state %v", gotHard)
		}
		f.ok(conf.Equivalent(snapshotAt(100, 6).GetConfState()))
		f.wantSnapshot(snapshotAt(100, 6))
		if got := f.node.Log().Checkpoint(); got != 100 {
			t.Fatalf("checkpoint %d", got)
		}
		f.want(store.At(98, 0), "k", "1")
		f.want(store.EndOf(100), "k", "2")
		f.want(store.EndOf(100), "old", "-")
		f.reopen()
	}
	if err := old.Write([]store.Mutation{put("old", "2", store.At(101, 0))}); err == nil {
		t.Fatal("the replaced state still takes writes")
	}
	more := entries(101, 110, 7)
	f.append(store.Batch{Entries: more})
	f.write(put("k", "3", store.At(101, 0)))
	f.reopen()
	f.wantLog(100, 6, more)
	f.want(store.EndOf(101), "k", "3")
}

// testInstallWithEntries installs below the end of the log, with other entries
// at the indexes that the log had.
func testInstallWithEntries(t *testing.T, f *fixture) {
	f.append(store.Batch{Entries: entries(2, 50, 1)})
	in := f.receive(put("k", "1", store.At(20, 0)))
	want := entries(21, 30, 8)
	f.append(store.Batch{
		Hard:       hardState(8, 0, 25),
		Entries:    want,
		Checkpoint: 22,
		Install:    &store.Install{Snapshot: snapshotAt(20, 5), State: in},
	})
	for range 2 {
		f.wantLog(20, 5, want)
		hard, _, err := f.node.Log().InitialState()
		f.ok(err)
		if !proto.Equal(hard, hardState(8, 0, 25)) || f.node.Log().Checkpoint() != 22 {
			t.Fatalf("hard state %v, checkpoint %d", hard, f.node.Log().Checkpoint())
		}
		f.want(store.EndOf(20), "k", "1")
		f.reopen()
	}
}

func testReceiveAgain(t *testing.T, f *fixture) {
	first := f.receive(put("k", "first", store.At(5, 0)))
	unfinished, err := f.node.Receive()
	f.ok(err)
	f.ok(unfinished.Write([]store.Mutation{put("k", "unfinished", store.At(5, 0))}))
	install := func(in store.Incoming) error {
		return f.node.Log().Append(store.Batch{Install: &store.Install{Snapshot: snapshotAt(9, 2), State: in}})
	}
	f.refused(install(first), "a state that a later Receive threw away")
	f.refused(install(unfinished), "a state that is not finished")
	f.ok(unfinished.Abort())
	f.refused(install(unfinished), "a state that was aborted")
	f.wantLog(1, 1, nil)
	second := f.receive(put("k", "second", store.At(5, 0)))
	f.ok(install(second))
	f.refused(install(second), "a state that is installed")
	f.want(store.EndOf(9), "k", "second")
	third := f.receive(put("k", "third", store.At(20, 0)))
	f.append(store.Batch{Install: &store.Install{Snapshot: snapshotAt(20, 2), State: third}})
	f.wantLog(20, 2, nil)
	f.want(store.EndOf(20), "k", "third")
}

func testAbandonedReceive(t *testing.T, f *fixture) {
	f.write(put("k", "mine", store.At(2, 0)))
	f.receive(put("k", "received", store.At(2, 0)))
	f.reopen()
	f.want(store.EndOf(2), "k", "mine")
	f.wantLog(1, 1, nil)
}

func testClosed(t *testing.T, f *fixture) {
	f.write(put("k", "1", store.At(2, 0)))
	log, state := f.node.Log(), f.node.State()
	v := f.view(store.EndOf(2))
	it := v.Scan(nil, nil, false)
	if !it.Next() {
		t.Fatal("no key")
	}
	f.ok(f.node.Close())
	f.ok(f.node.Close())
	f.wantErr(log.Append(store.Batch{Checkpoint: 1}), store.ErrClosed)
	f.wantErr(log.Truncate(1), store.ErrClosed)
	f.wantErr(state.Write([]store.Mutation{put("k", "2", store.At(3, 0))}), store.ErrClosed)
	f.wantErr(state.Sync(), store.ErrClosed)
	_, err := state.Read(math.MaxUint64)
	f.wantErr(err, store.ErrClosed)
	_, err = f.node.Receive()
	f.wantErr(err, store.ErrClosed)
	if it.Next() {
		t.Fatal("an iterator goes on after Close")
	}
	f.wantErr(it.Err(), store.ErrClosed)
	it.Close()
	_, err = v.Get([]byte("k"))
	f.wantErr(err, store.ErrClosed)
	v.Close()
}
