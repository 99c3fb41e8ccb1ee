package memstore

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// raftLog is what the log holds. entries[i] has index baseIndex+1+i. What is in
// entries is never changed, so clones share it; only the newest clone appends.
type raftLog struct {
	hard       *raftpb.HardState // nil until the first one
	snapshot   *raftpb.SnapshotMetadata
	baseIndex  uint64 // of the entry before the first one kept
	baseTerm   uint64
	entries    []*raftpb.Entry
	checkpoint uint64
	bytes      uint64
	rotten     map[uint64]bool // entries that cannot be read any more
}

func newLog(meta *raftpb.SnapshotMetadata) *raftLog {
	meta = raftpb.EnsureSnapshotMetadata(proto.CloneOf(meta))
	return &raftLog{
		snapshot:   meta,
		baseIndex:  meta.GetIndex(),
		baseTerm:   meta.GetTerm(),
		checkpoint: meta.GetIndex(),
	}
}

// clone is a log that may be appended to without a change to l.
func (l *raftLog) clone() *raftLog {
	c := *l
	return &c
}

func (l *raftLog) last() uint64 { return l.baseIndex + uint64(len(l.entries)) }

func (l *raftLog) append(b store.Batch) error {
	if b.Install != nil {
		hard := l.hard
		*l = *newLog(b.Install.Snapshot)
		l.hard = hard
	}
	if err := l.appendEntries(b.Entries); err != nil {
		return err
	}
	if b.Hard != nil {
		if b.Hard.GetCommit() > l.last() {
			return fmt.Errorf("commit index %d is past the last entry %d", b.Hard.GetCommit(), l.last())
		}
		l.hard = proto.CloneOf(b.Hard)
	}
	if b.Checkpoint > l.last() {
		return fmt.Errorf("checkpoint %d is past the last entry %d", b.Checkpoint, l.last())
	}
	l.checkpoint = max(l.checkpoint, b.Checkpoint)
	return nil
}

func (l *raftLog) appendEntries(entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first := entries[0].GetIndex()
	if first <= l.baseIndex || first > l.last()+1 {
		return fmt.Errorf("entry %d does not continue the log %d..%d", first, l.baseIndex+1, l.last())
	}
	for i, e := range entries {
		if e.GetIndex() != first+uint64(i) {
			return fmt.Errorf("entry %d follows entry %d", e.GetIndex(), first+uint64(i)-1)
		}
		l.bytes += uint64(proto.Size(e))
	}
	if len(l.rotten) > 0 {
		whole := map[uint64]bool{}
		for i := range l.rotten {
			if i < first {
				whole[i] = true
			}
		}
		l.rotten = whole
	}
	keep := first - l.baseIndex - 1
	for _, e := range l.entries[keep:] {
		l.bytes -= uint64(proto.Size(e))
	}
	if keep < uint64(len(l.entries)) {
		l.entries = slices.Clip(l.entries[:keep]) // Readers may hold the rest.
	}
	l.entries = append(l.entries, entries...)
	return nil
}

func (l *raftLog) truncate(index uint64) error {
	if index > l.checkpoint {
		return fmt.Errorf("truncation to %d is past the checkpoint %d", index, l.checkpoint)
	}
	if index <= l.baseIndex {
		return nil
	}
	n := index - l.baseIndex
	for _, e := range l.entries[:n] {
		l.bytes -= uint64(proto.Size(e))
	}
	l.baseIndex, l.baseTerm = index, l.entries[n-1].GetTerm()
	l.entries = slices.Clone(l.entries[n:])
	return nil
}

// view returns the log of now, which no later append changes.
func (l *nodeLog) view() *raftLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log
}

func (l *nodeLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	v := l.view()
	return proto.CloneOf(v.hard), proto.CloneOf(v.snapshot.GetConfState()), nil
}

func (l *nodeLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	v := l.view()
	if lo <= v.baseIndex {
		return nil, raft.ErrCompacted
	}
	if lo > hi || hi > v.last()+1 {
		return nil, raft.ErrUnavailable
	}
	var size uint64
	out := make([]*raftpb.Entry, 0, hi-lo)
	for i, e := range v.entries[lo-v.baseIndex-1 : hi-v.baseIndex-1] {
		if v.rotten[lo+uint64(i)] {
			return nil, fmt.Errorf("memstore: entry %d: %w", lo+uint64(i), store.ErrCorrupt)
		}
		size += uint64(proto.Size(e))
		if size > maxSize && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func (l *nodeLog) Term(i uint64) (uint64, error) {
	v := l.view()
	switch {
	case i < v.baseIndex:
		return 0, raft.ErrCompacted
	case i == v.baseIndex:
		return v.baseTerm, nil
	case i > v.last():
		return 0, raft.ErrUnavailable
	}
	return v.entries[i-v.baseIndex-1].GetTerm(), nil
}

func (l *nodeLog) FirstIndex() (uint64, error) { return l.view().baseIndex + 1, nil }

func (l *nodeLog) LastIndex() (uint64, error) { return l.view().last(), nil }

func (l *nodeLog) Snapshot() (*raftpb.Snapshot, error) {
	return &raftpb.Snapshot{Metadata: proto.CloneOf(l.view().snapshot)}, nil
}

func (l *nodeLog) Checkpoint() uint64 { return l.view().checkpoint }

func (l *nodeLog) Truncate(index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return store.ErrClosed
	}
	next := l.log.clone()
	if err := next.truncate(index); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	l.log = next
	return nil
}

func (l *nodeLog) Bytes() uint64 { return l.view().bytes }
