package badgerstore

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Truncate implements store.Log. That the log starts later is on the device
// before the first entry is removed, so that no crash leaves a hole.
func (n *nodeLog) Truncate(index uint64) error {
	l := n.log
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if index > l.meta.checkpoint {
		return fmt.Errorf("badgerstore: truncation to %d is past the checkpoint %d", index, l.meta.checkpoint)
	}
	if index <= l.meta.base {
		return nil
	}
	term, err := n.Term(index)
	if err != nil {
		return fmt.Errorf("badgerstore: truncation to %d: %w", index, err)
	}
	from := l.meta.base + 1
	next := *l.meta
	next.base, next.baseTerm = index, term
	if err := l.commit(&next, nil, nil); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	l.publish(func(v *view) { v.truncate(l.meta) })
	dropped, err := l.drop(from, index)
	l.publish(func(v *view) { v.bytes -= min(v.bytes, dropped) })
	return err
}

// drop removes the records of the entries from lo to hi in steps, without a
// flush: meta does not cover them, and load removes what a crash brings back.
func (l *raftLog) drop(lo, hi uint64) (dropped uint64, err error) {
	for lo <= hi {
		keys, bytes, err := l.recordsOf(lo, hi)
		if err != nil {
			return dropped, l.fail(err)
		}
		if len(keys) == 0 {
			return dropped, nil
		}
		if err := l.commit(nil, nil, keys); err != nil {
			return dropped, err
		}
		dropped += bytes
		lo, _, _ = keyIndex(keys[len(keys)-1]) // It may have more chunks.
	}
	return dropped, nil
}

// recordsOf lists the keys of one step and the bytes of their values.
func (l *raftLog) recordsOf(lo, hi uint64) (keys [][]byte, bytes uint64, err error) {
	defer guard(l.dir, &err)
	err = l.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{entryPrefix}})
		defer it.Close()
		for it.Seek(entryKey(lo, 0)); it.Valid() && len(keys) < l.opts.truncateStep; it.Next() {
			item := it.Item()
			if index, _, ok := keyIndex(item.Key()); !ok || index > hi {
				return nil
			}
			keys = append(keys, item.KeyCopy(nil))
			bytes += uint64(item.ValueSize())
		}
		return nil
	})
	return keys, bytes, err
}
