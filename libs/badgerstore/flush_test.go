package badgerstore

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

// TestOneFlushPerBatch counts the flushes of files: one for an ordinary batch,
// and when the memtable was rotated one for the old file as well.
func TestOneFlushPerBatch(t *testing.T) {
	s := open(t, config(t.TempDir(), nil))
	log := (*nodeLog)(s)
	mem := s.log.mem
	rotations := 0
	for i := uint64(2); rotations < 3; i++ {
		flushes, next := log.flushes(), mem.next
		data := bytes.Repeat([]byte("x"), 300)
		if i%2 == 0 {
			data = bytes.Repeat([]byte("x"), 1600<<10)
		}
		ok(t, log.Append(store.Batch{
			Entries:    []*raftpb.Entry{entry(i, 1, data)},
			Hard:       &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(i)},
			Checkpoint: i - 1,
		}))
		rotated := mem.next - next
		if got := log.flushes() - flushes; got != 1+uint64(rotated) {
			t.Fatalf("append %d: %d flushes with %d rotations", i, got, rotated)
		}
		if len(mem.files) != 1 || mem.dirDirty {
			t.Fatalf("append %d: %d files are still watched", i, len(mem.files))
		}
		rotations += rotated
	}
}

// TestRotationByTruncation: what truncations write is flushed by the next
// append, whichever files it went to.
func TestRotationByTruncation(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	cfg.tune.truncateStep = 50_000
	s := open(t, cfg)
	log := (*nodeLog)(s)
	const batch = 20_000
	for i := uint64(2); s.log.mem.next < 5; i += batch {
		var entries []*raftpb.Entry
		for k := range uint64(batch) {
			entries = append(entries, entry(i+k, 1, nil))
		}
		ok(t, log.Append(store.Batch{Entries: entries, Checkpoint: i}))
		ok(t, log.Truncate(i))
	}
	ok(t, log.Append(store.Batch{Checkpoint: 1}))
	if len(s.log.mem.files) != 1 || s.log.mem.dirDirty {
		t.Fatal("a file of a rotated memtable is not flushed")
	}
}

// TestErrorsAreFinal: after a flush failed nothing is acknowledged any more.
func TestErrorsAreFinal(t *testing.T) {
	s := open(t, config(t.TempDir(), nil))
	good := s.log.mem.files[0]
	pipe := openPipe(t)
	s.log.mem.files[0] = pipe // A pipe cannot be flushed.
	if err := s.Log().Append(store.Batch{Checkpoint: 1}); err == nil {
		t.Fatal("a failed flush was acknowledged")
	}
	s.log.mem.files[0] = good
	if err := s.Log().Append(store.Batch{Checkpoint: 1}); err == nil {
		t.Fatal("an append after a failed flush was acknowledged")
	}
	if err := s.Log().Truncate(1); err == nil {
		t.Fatal("a truncation after a failed flush was accepted")
	}
}
