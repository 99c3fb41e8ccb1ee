package badgerstore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// raftLog is the log database.
type raftLog struct {
	dir  string
	opts options
	db   *badger.DB

	// write is held by Append and Truncate; it guards the fields up to view.
	write  sync.Mutex
	mem    *memFiles
	meta   *meta // as last committed
	failed error // the first error of a write or flush, which is final

	// view is what readers see. It is replaced, never changed.
	mu     sync.RWMutex
	view   view
	closed bool
	using  sync.WaitGroup // readers inside the database
}

// openLog opens the log or creates it, the latter unless initialized.
func openLog(dir string, opts options, bootstrap *raftpb.SnapshotMetadata, initialized bool) (_ *raftLog, err error) {
	var synced uint64
	if initialized {
		if _, err := os.Stat(dir); err != nil {
			return nil, corruptf(dir, "the Raft log is missing: %v", err)
		}
		if synced, err = syncedInFiles(dir); err != nil {
			return nil, err
		}
	}
	db, err := openBadger(opts.badger(dir, opts.log), opts.verification, badger.Open)
	if err != nil {
		return nil, err
	}
	l := &raftLog{dir: dir, opts: opts, db: db}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.mem, err = watchMemFiles(dir); err != nil {
		return l, err
	}
	l.meta, err = l.readMeta()
	switch {
	case err != nil:
		return l, err
	case l.meta == nil && initialized:
		return l, corruptf(dir, "the Raft log is gone")
	case l.meta == nil:
		return l, l.create(bootstrap)
	case l.meta.seq < synced:
		return l, corruptf(dir, "the Raft log ends at record %d, but record %d was acknowledged", l.meta.seq, synced)
	}
	return l, l.load()
}

// create writes the first meta record.
func (l *raftLog) create(bootstrap *raftpb.SnapshotMetadata) error {
	snapshot := raftpb.EnsureSnapshotMetadata(proto.CloneOf(bootstrap))
	index, term := snapshot.GetIndex(), snapshot.GetTerm()
	l.meta = &meta{state: 1}
	next := &meta{
		base: index, baseTerm: term, last: index, checkpoint: index, state: 1,
		snapshot: snapshot,
	}
	if err := l.commit(next, nil, nil); err != nil {
		return err
	}
	l.view = newView(next)
	return l.sync()
}

func (l *raftLog) readMeta() (m *meta, err error) {
	defer guard(l.dir, &err)
	err = l.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(metaKey))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(raw []byte) error {
			m, err = decodeMeta(raw)
			return err
		})
	})
	if err != nil {
		return nil, corruptf(l.dir, "%v", err)
	}
	return m, nil
}

// load reads the whole log once: every entry's checksum, that they are
// consecutive, and their terms. What meta does not cover is removed.
func (l *raftLog) load() error {
	v := newView(l.meta)
	end := v.last
	v.last = v.base
	err := l.readEntries(v.base+1, end+1, func(e *raftpb.Entry, stored int) bool {
		v.last++
		v.add(e, stored, l.opts.tailBytes)
		return true
	})
	if err != nil {
		return err
	}
	l.view = v
	if _, err := l.drop(0, v.base); err != nil {
		return err
	}
	_, err = l.drop(v.last+1, math.MaxUint64)
	return err
}

// commit writes one transaction: next as the meta record, puts, and deletions.
// It is not on the device before sync. With a nil next the meta record stays.
func (l *raftLog) commit(next *meta, puts []*badger.Entry, deletes [][]byte) error {
	txn := l.db.NewTransaction(true)
	defer txn.Discard()
	for _, p := range puts {
		if err := txn.SetEntry(p); err != nil {
			return l.fail(err)
		}
	}
	for _, k := range deletes {
		if err := txn.Delete(k); err != nil {
			return l.fail(err)
		}
	}
	if next != nil {
		next.seq, next.synced = l.meta.seq+1, l.meta.synced
		raw, err := next.encode()
		if err != nil {
			return l.fail(err)
		}
		if err := txn.Set([]byte(metaKey), raw); err != nil {
			return l.fail(err)
		}
	}
	if err := txn.Commit(); err != nil {
		return l.fail(err)
	}
	if next != nil {
		l.meta = next
	}
	return l.fail(l.mem.found())
}

// sync returns when all commits are on the device.
func (l *raftLog) sync() error {
	if mutant.Is(mutant.LogNotSynced) {
		l.meta.synced = l.meta.seq
		return nil
	}
	if err := l.mem.sync(); err != nil {
		return l.fail(err)
	}
	l.meta.synced = l.meta.seq
	return nil
}

// fail makes an error final.
func (l *raftLog) fail(err error) error {
	if err == nil {
		return nil
	}
	l.failed = fmt.Errorf("badgerstore: the Raft log in %s takes no more writes after an error: %w", l.dir, err)
	return l.failed
}

// acquire keeps the database open until the function it returns is called.
func (l *raftLog) acquire() (done func(), err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, store.ErrClosed
	}
	l.using.Add(1)
	return l.using.Done, nil
}

func (l *raftLog) close() error {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	l.using.Wait()
	if l.mem != nil {
		l.mem.close()
	}
	return closeBadger(l.dir, l.db, l.failed != nil)
}
