package mvcc

import (
	"bytes"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// A transaction makes one revision, in which a key changes once. So no two of
// its operations may put the same key, or one put a key that another deletes,
// unless they are in the two branches of the same nested transaction. Deletes
// may overlap: the second one finds nothing.

// write is a key that an operation may put, or a range that it may delete.
type write struct {
	key []byte
	end []byte // of a delete: exclusive, nil for none
	op  int    // which operation of the level does it
}

// writesOf lists what a level's operations may write, and refuses conflicts
// between them.
func writesOf(ops []*kvpb.RequestOp) (puts, deletes []write, err *api.Error) {
	for n, op := range ops {
		switch op := op.GetRequest().(type) {
		case *kvpb.RequestOp_Put:
			puts = append(puts, write{key: op.Put.Key, op: n})
		case *kvpb.RequestOp_DeleteRange:
			deletes = append(deletes, deleteOf(op.DeleteRange, n))
		case *kvpb.RequestOp_Txn:
			for _, nested := range [...][]*kvpb.RequestOp{op.Txn.GetSuccess(), op.Txn.GetFailure()} {
				p, d, err := writesOf(nested)
				if err != nil {
					return nil, nil, err
				}
				puts, deletes = appendAs(puts, p, n), appendAs(deletes, d, n)
			}
		}
	}
	byKey := func(a, b write) int { return bytes.Compare(a.key, b.key) }
	slices.SortStableFunc(puts, byKey)
	slices.SortStableFunc(deletes, byKey)
	for i := 1; i < len(puts); i++ {
		if puts[i].op != puts[i-1].op && bytes.Equal(puts[i].key, puts[i-1].key) {
			return nil, nil, errDuplicateKey(puts[i].key)
		}
	}
	if key := putAndDeleted(puts, deletes); key != nil {
		return nil, nil, errDuplicateKey(key)
	}
	return puts, deletes, nil
}

func errDuplicateKey(key []byte) *api.Error {
	return api.Errorf(api.KindDuplicateKey, "the transaction writes key %q twice", key)
}

func appendAs(to, from []write, op int) []write {
	for _, w := range from {
		w.op = op
		to = append(to, w)
	}
	return to
}

func deleteOf(r *kvpb.DeleteRangeRequest, op int) write {
	w := write{key: r.Key, end: r.RangeEnd, op: op}
	if len(w.end) == 0 {
		w.end = append(bytes.Clone(r.Key), 0)
	} else if isOpenEnd(w.end) {
		w.end = nil
	}
	return w
}

// putAndDeleted finds a key that one operation puts and another deletes. Both
// lists are sorted by key. Of the deletes that begin at or before a put it
// needs only the one that reaches furthest, and the furthest of another
// operation.
func putAndDeleted(puts, deletes []write) []byte {
	none := write{end: []byte{}, op: -1} // reaches nowhere
	first, second := none, none
	for _, p := range puts {
		for len(deletes) > 0 && bytes.Compare(deletes[0].key, p.key) <= 0 {
			d := deletes[0]
			deletes = deletes[1:]
			switch {
			case d.op == first.op:
				if further(d.end, first.end) {
					first = d
				}
			case further(d.end, first.end):
				first, second = d, first
			case further(d.end, second.end):
				second = d
			}
		}
		widest := first
		if widest.op == p.op {
			widest = second
		}
		if further(widest.end, p.key) {
			return p.key
		}
	}
	return nil
}

// further tells whether a range that ends at end goes beyond b. Nil is the end
// of all keys.
func further(end, b []byte) bool {
	return b != nil && (end == nil || bytes.Compare(end, b) > 0)
}
