package badgerstore

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// InitialState implements raft.Storage.
func (n *nodeLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	v := n.log.current()
	return proto.CloneOf(v.hard), proto.CloneOf(v.snapshot.GetConfState()), nil
}

// Entries implements raft.Storage. What followers that keep up need is served
// from memory.
func (n *nodeLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	l := n.log
	v := l.current()
	if lo <= v.base {
		return nil, raft.ErrCompacted
	}
	if lo > hi || hi > v.last+1 {
		return nil, raft.ErrUnavailable
	}
	first := v.tailFirst()
	if lo >= first {
		return limit(v.tail[lo-first:hi-first], maxSize), nil
	}
	var out []*raftpb.Entry
	var size uint64
	err := l.readEntries(lo, min(hi, first), func(e *raftpb.Entry, _ int) bool {
		out = append(out, e)
		size += uint64(proto.Size(e))
		return size <= maxSize
	})
	if err != nil {
		switch now := l.current(); {
		case lo <= now.base: // truncated meanwhile
			return nil, raft.ErrCompacted
		case hi > now.last+1:
			return nil, raft.ErrUnavailable
		}
		return nil, err
	}
	if hi > first && size <= maxSize {
		out = append(out, v.tail[:hi-first]...)
	}
	return limit(out, maxSize), nil
}

// limit is the longest prefix of at most maxSize bytes, or one entry.
func limit(entries []*raftpb.Entry, maxSize uint64) []*raftpb.Entry {
	var size uint64
	for i, e := range entries {
		size += uint64(proto.Size(e))
		if size > maxSize && i > 0 {
			return slices.Clip(entries[:i])
		}
	}
	return slices.Clip(entries)
}

// Term implements raft.Storage, always from memory.
func (n *nodeLog) Term(i uint64) (uint64, error) {
	v := n.log.current()
	return v.term(i)
}

// FirstIndex implements raft.Storage.
func (n *nodeLog) FirstIndex() (uint64, error) { return n.log.current().base + 1, nil }

// LastIndex implements raft.Storage.
func (n *nodeLog) LastIndex() (uint64, error) { return n.log.current().last, nil }

// Snapshot implements raft.Storage: the metadata that the log starts behind.
func (n *nodeLog) Snapshot() (*raftpb.Snapshot, error) {
	return &raftpb.Snapshot{Metadata: proto.CloneOf(n.log.current().snapshot)}, nil
}

// Checkpoint implements store.Log.
func (n *nodeLog) Checkpoint() uint64 { return n.log.current().checkpoint }

// Bytes implements store.Log: of the records, not of the files.
func (n *nodeLog) Bytes() uint64 { return n.log.current().bytes }

// flushes is how often the log's files were flushed since Open.
func (n *nodeLog) flushes() uint64 { return n.log.mem.flushes.Load() }

// readEntries calls fn with the entries [lo, hi) and the bytes that their
// records take, until fn returns false. A missing one is store.ErrCorrupt.
func (l *raftLog) readEntries(lo, hi uint64, fn func(e *raftpb.Entry, stored int) bool) (err error) {
	if lo >= hi {
		return nil
	}
	done, err := l.acquire()
	if err != nil {
		return err
	}
	defer done()
	defer guard(l.dir, &err)
	return l.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{entryPrefix}})
		defer it.Close()
		var c chunks
		stored, next := 0, lo
		// Seek, not Rewind: what was truncated may still be there as deletions.
		for it.Seek(entryKey(lo, 0)); it.Valid() && next < hi; it.Next() {
			item := it.Item()
			var e *raftpb.Entry
			err := item.Value(func(value []byte) (err error) {
				stored += len(value)
				e, err = c.add(item.Key(), value)
				return err
			})
			if err == nil && c.index != next {
				err = errors.New("another entry in its place")
			}
			if err != nil {
				return corruptf(l.dir, "entry %d: %v", next, err)
			}
			if e == nil {
				continue
			}
			if !fn(e, stored) {
				return nil
			}
			stored = 0
			next++
		}
		if next < hi {
			return corruptf(l.dir, "entry %d of %d..%d is missing", next, lo, hi-1)
		}
		return nil
	})
}
