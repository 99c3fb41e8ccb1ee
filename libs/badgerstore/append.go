package badgerstore

import (
	"errors"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// nodeLog is store.Log: an Install changes the Store as well.
type nodeLog Store

// Append implements store.Log. An ordinary batch is one transaction and one
// flush. More are needed where entries are replaced, where a snapshot is
// installed, and for each further 2 MiB; every one leaves a log as it was
// before or one that holds a prefix of the batch.
func (n *nodeLog) Append(b store.Batch) error {
	s, l := (*Store)(n), n.log
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if err := l.check(b); err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	if b.Install != nil {
		if err := s.install(b); err != nil {
			return err
		}
	}
	return l.append(b, s.mark())
}

// mark is up to which Sync the state in use is durable.
func (s *Store) mark() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.mark.Load()
}

func (l *raftLog) writable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return store.ErrClosed
	}
	return l.failed
}

// check refuses what only a mistake of the caller can ask for.
func (l *raftLog) check(b store.Batch) error {
	base, last := l.meta.base, l.meta.last
	if b.Install != nil {
		base = b.Install.Snapshot.GetIndex()
		last = base
	}
	if len(b.Entries) > 0 {
		first := b.Entries[0].GetIndex()
		if first <= base || first > last+1 {
			return fmt.Errorf("entry %d does not continue the log %d..%d", first, base+1, last)
		}
		for i, e := range b.Entries {
			if e.GetIndex() != first+uint64(i) {
				return fmt.Errorf("entry %d follows entry %d", e.GetIndex(), first+uint64(i)-1)
			}
			if size := proto.Size(e); size > maxEntryBytes {
				return fmt.Errorf("entry %d has %d bytes, more than the limit of %d", e.GetIndex(), size, maxEntryBytes)
			}
		}
		last = first + uint64(len(b.Entries)) - 1
	}
	if b.Hard.GetCommit() > last {
		return fmt.Errorf("commit index %d is past the last entry %d", b.Hard.GetCommit(), last)
	}
	if b.Checkpoint > last {
		return fmt.Errorf("checkpoint %d is past the last entry %d", b.Checkpoint, last)
	}
	return nil
}

// append writes all of b but an Install. mark is the state's, which goes with
// a checkpoint.
func (l *raftLog) append(b store.Batch, mark uint64) error {
	if len(b.Entries) > 0 && b.Entries[0].GetIndex() <= l.meta.last {
		if err := l.cut(b.Entries[0].GetIndex()-1, b.Hard); err != nil {
			return err
		}
	}
	var records []*badger.Entry
	size, from := 0, 0 // of records; the first entry they belong to
	stored := make([]int, 0, len(b.Entries))
	for i, e := range b.Entries {
		recs, err := encodeEntry(e)
		if err != nil {
			return l.fail(err)
		}
		if size > 0 && size+recordBytes(recs) > l.opts.partBytes {
			if err := l.appendPart(store.Batch{Hard: b.Hard, Entries: b.Entries[from:i]}, records, mark); err != nil {
				return err
			}
			records, size, from = nil, 0, i
		}
		records = append(records, recs...)
		size += recordBytes(recs)
		stored = append(stored, valueBytes(recs))
	}
	if err := l.appendPart(store.Batch{Hard: b.Hard, Entries: b.Entries[from:], Checkpoint: b.Checkpoint}, records, mark); err != nil {
		return err
	}
	l.publish(func(v *view) {
		v.meta = *l.meta
		for i, e := range b.Entries {
			v.add(e, stored[i], l.opts.tailBytes)
		}
	})
	return nil
}

// appendPart commits and flushes the records of p's entries. The commit index
// moves only as far as the log has entries.
func (l *raftLog) appendPart(p store.Batch, records []*badger.Entry, mark uint64) error {
	releaseBuffers(l.db)
	next := *l.meta
	next.last += uint64(len(p.Entries))
	if p.Checkpoint != 0 {
		next.checkpoint, next.mark = max(next.checkpoint, p.Checkpoint), mark
	}
	next.setHard(p.Hard)
	if err := l.commit(&next, records, nil); err != nil {
		return err
	}
	return l.sync()
}

func (m *meta) setHard(hard *raftpb.HardState) {
	if hard == nil {
		return
	}
	m.hard = proto.CloneOf(hard)
	commit := min(hard.GetCommit(), m.last)
	m.hard.Commit = &commit
}

// cut removes the entries after last, which others are about to replace.
func (l *raftLog) cut(last uint64, hard *raftpb.HardState) error {
	next := *l.meta
	end := next.last
	next.last = last
	next.setHard(hard)
	if err := l.commit(&next, nil, nil); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	dropped, err := l.drop(last+1, end)
	l.publish(func(v *view) { v.cut(l.meta, dropped) })
	return err
}

// install switches to a received state: snapshot, hard state, log reset and
// the state's directory in one transaction.
func (s *Store) install(b store.Batch) error {
	in, ok := b.Install.State.(*incoming)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if !ok || in != s.recv || !in.take() {
		return errors.New("badgerstore: Install of a state that was not received and finished here")
	}
	s.recv = nil
	l := s.log
	from, to := l.meta.base, l.meta.last
	snapshot := raftpb.EnsureSnapshotMetadata(proto.CloneOf(b.Install.Snapshot))
	index := snapshot.GetIndex()
	next := *l.meta
	next.base, next.baseTerm, next.last = index, snapshot.GetTerm(), index
	next.checkpoint, next.snapshot = index, snapshot
	next.state, next.mark = in.number, in.state.mark.Load()
	next.setHard(b.Hard)
	if err := l.commit(&next, nil, nil); err != nil {
		return errors.Join(err, in.state.close())
	}
	if err := l.sync(); err != nil {
		return errors.Join(err, in.state.close())
	}
	old := s.state
	s.state, s.number = in.state, in.number
	l.publish(func(v *view) { *v = newView(l.meta) })
	if _, err := l.drop(from, to); err != nil {
		return err
	}
	if err := errors.Join(old.close(), os.RemoveAll(old.dir)); err != nil {
		s.opts.logger.Warn("the replaced state was not removed; the next start will try again", "error", err)
	}
	return nil
}

func recordBytes(recs []*badger.Entry) int {
	const overhead = 64 // of one record in a transaction
	return valueBytes(recs) + len(recs)*(entryKeyLen+overhead)
}

func valueBytes(recs []*badger.Entry) int {
	n := 0
	for _, r := range recs {
		n += len(r.Value)
	}
	return n
}
