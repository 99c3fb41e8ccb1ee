package mvcc

import (
	"bytes"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/tidwall/btree"
)

// version is one state of one user key that the batch being applied has made.
type version struct {
	key     []byte
	ts      store.TS
	deleted bool
	expired bool     // deleted because its time had run out
	rec     record   // with its whole value, even a chunked one
	older   *version // made by an earlier command of the batch
}

// overlay holds what the commands of a batch have written and the store does
// not have yet, all versions of it: a transaction may read a revision that an
// earlier command of its own batch has made.
type overlay struct {
	tree  *btree.BTreeG[*version] // newest version of each key
	pivot version
	undo  []*version // what the current command has written
}

func newOverlay() *overlay {
	less := func(a, b *version) bool { return bytes.Compare(a.key, b.key) < 0 }
	return &overlay{tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// put makes v the newest version of its key.
func (o *overlay) put(v *version) {
	v.older, _ = o.tree.Set(v)
	o.undo = append(o.undo, v)
}

// keep ends a command whose writes stay, rollback one whose writes go.
func (o *overlay) keep() { o.undo = o.undo[:0] }

func (o *overlay) rollback() {
	for i := len(o.undo) - 1; i >= 0; i-- {
		if v := o.undo[i]; v.older != nil {
			o.tree.Set(v.older)
		} else {
			o.tree.Delete(v)
		}
	}
	o.undo = o.undo[:0]
}

// find is the newest version of key at or before ts, nil if there is none.
func (o *overlay) find(key []byte, ts store.TS) *version {
	o.pivot.key = key
	v, _ := o.tree.Get(&o.pivot)
	return v.asOf(ts)
}

// newest calls fn with the newest version of each key.
func (o *overlay) newest(fn func(*version)) {
	o.tree.Scan(func(v *version) bool {
		fn(v)
		return true
	})
}

// between lists, for each key of [lower, upper), its newest version at or
// before ts, deletions included, in order. A nil upper means no bound.
func (o *overlay) between(lower, upper []byte, ts store.TS) []*version {
	var found []*version
	o.pivot.key = lower
	o.tree.Ascend(&o.pivot, func(v *version) bool {
		if upper != nil && bytes.Compare(v.key, upper) >= 0 {
			return false
		}
		if v = v.asOf(ts); v != nil {
			found = append(found, v)
		}
		return true
	})
	return found
}

func (v *version) asOf(ts store.TS) *version {
	for v != nil && v.ts > ts {
		v = v.older
	}
	return v
}
