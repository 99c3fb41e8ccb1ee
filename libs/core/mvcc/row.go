package mvcc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/tidwall/btree"
)

// A row is the value of a state key of leases, attachments, times to live and
// segments:
//
//	crc32c 4 | format 1 | words, 8 each | tail
//
// The checksum covers the state key and everything after itself. How many words
// there are, what they say and whether there may be a tail depends on the key:
//
//	lease       ttl in milliseconds | TS of the grant | attached keys | lease.inline
//	attachment  none
//	ttl         ttl in milliseconds | mod revision of the key
//	segment     index of the entry | live keys at its end | appendSteps
const (
	rowFormat      = 1
	rowHeaderBytes = 4 + 1
)

func appendRow(b, stateKey, tail []byte, words ...uint64) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, rowFormat)
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	b = append(b, tail...)
	binary.BigEndian.PutUint32(b[start:], checksum(stateKey, b[start+4:]))
	return b
}

// decodeRow reads as many words as there is room for in words, and the tail, a
// part of b, if tail is not nil.
func decodeRow(stateKey, b []byte, words []uint64, tail *[]byte) error {
	if len(b) < rowHeaderBytes || binary.BigEndian.Uint32(b) != checksum(stateKey, b[4:]) {
		return fmt.Errorf("%w: row %q", store.ErrCorrupt, stateKey)
	}
	if b[4] != rowFormat {
		return fmt.Errorf("mvcc: row %q has format %d, this program knows %d: upgrade it", stateKey, b[4], rowFormat)
	}
	n := rowHeaderBytes + 8*len(words)
	if len(b) < n || len(b) > n && tail == nil {
		return fmt.Errorf("%w: row %q has %d bytes", store.ErrCorrupt, stateKey, len(b))
	}
	for i := range words {
		words[i] = binary.BigEndian.Uint64(b[rowHeaderBytes+8*i:])
	}
	if tail != nil {
		*tail = b[n:]
	}
	return nil
}

// scanRows calls fn for the rows in [lower, upper) in order, until it returns
// false or fails. Before each call words and tail are the row's.
func scanRows(view store.View, lower, upper []byte, words []uint64, tail *[]byte, fn func(stateKey []byte) (bool, error)) error {
	it := view.Scan(lower, upper, false)
	defer it.Close()
	for it.Next() {
		b := it.Value()
		if err := it.Err(); err != nil {
			return err
		}
		if err := decodeRow(it.Key(), b, words, tail); err != nil {
			return err
		}
		if goOn, err := fn(it.Key()); err != nil || !goOn {
			return err
		}
	}
	return it.Err()
}

// row is the mutation that writes a row with the TS of the current command.
func (b *batch) row(stateKey, tail []byte, words ...uint64) store.Mutation {
	value := appendRow(b.arena.alloc(rowHeaderBytes+8*len(words)+len(tail)), stateKey, tail, words...)
	return store.Mutation{Key: stateKey, Value: value, TS: b.src.ts}
}

func deletion(stateKey []byte, ts store.TS) store.Mutation {
	return store.Mutation{Key: stateKey, TS: ts, Delete: true}
}

// rows are the rows of leases and attachments as the batch being applied has
// them: its own writes in front of the store. Only the newest version counts, no
// command reads an older one.
type rows struct {
	view store.View
	tree *btree.BTreeG[*rowVersion] // nil before the first write
	undo []*rowVersion              // one for each row that the current command has written
}

// rowVersion is a row's newest version, and the one before the current command.
type rowVersion struct {
	store.Mutation
	older *rowVersion
}

func (r *rows) find(key []byte) *rowVersion {
	if r.tree == nil {
		return nil
	}
	v, _ := r.tree.Get(&rowVersion{Mutation: store.Mutation{Key: key}})
	return v
}

// get reads a row as decodeRow does.
func (r *rows) get(key []byte, words []uint64, tail *[]byte) (found bool, err error) {
	var value []byte
	if v := r.find(key); v != nil {
		if v.Delete {
			return false, nil
		}
		value = v.Value
	} else if value, err = r.view.Get(key); errors.Is(err, store.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, decodeRow(key, value, words, tail)
}

// put writes a row. Of several writes of a command to one row the last counts.
func (r *rows) put(mut store.Mutation) {
	if r.tree == nil {
		less := func(a, b *rowVersion) bool { return bytes.Compare(a.Key, b.Key) < 0 }
		r.tree = btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	}
	if v := r.find(mut.Key); v != nil && v.TS == mut.TS {
		v.Mutation = mut
		return
	}
	v := &rowVersion{Mutation: mut}
	v.older, _ = r.tree.Set(v)
	r.undo = append(r.undo, v)
}

// keep ends a command whose writes stay and appends them to muts, rollback one
// whose writes go.
func (r *rows) keep(muts []store.Mutation) []store.Mutation {
	for _, v := range r.undo {
		muts = append(muts, v.Mutation)
		v.older = nil
	}
	r.undo = r.undo[:0]
	return muts
}

func (r *rows) rollback() {
	for _, v := range r.undo {
		if v.older != nil {
			r.tree.Set(v.older)
		} else {
			r.tree.Delete(v)
		}
	}
	r.undo = r.undo[:0]
}

// keys lists the keys of the rows without words in [lower, upper), in no order.
func (r *rows) keys(lower, upper []byte) ([][]byte, error) {
	var keys [][]byte
	err := scanRows(r.view, lower, upper, nil, nil, func(key []byte) (bool, error) {
		if r.find(key) == nil {
			keys = append(keys, bytes.Clone(key))
		}
		return true, nil
	})
	if err != nil || r.tree == nil {
		return keys, err
	}
	r.tree.Ascend(&rowVersion{Mutation: store.Mutation{Key: lower}}, func(v *rowVersion) bool {
		if bytes.Compare(v.Key, upper) >= 0 {
			return false
		}
		if !v.Delete {
			keys = append(keys, v.Key)
		}
		return true
	})
	return keys, nil
}
