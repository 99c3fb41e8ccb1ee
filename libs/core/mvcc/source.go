package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/tidwall/btree"
)

// source reads user keys as of one TS: from a view of the store and, in front
// of it, what the batch being applied has written by then.
type source struct {
	view store.View
	over *overlay // nil: nothing in front
	hot  *hot     // as of view; nil: none
	ts   store.TS // versions of over after it are not seen; 0 for a view as of the end of an entry
	buf  []byte   // for state keys
	// segments are those of view, nil where its rows have to tell.
	segments *btree.BTreeG[*segment]
}

// get reads the record of a key, without the chunks of its value. What it
// returns is valid until the view is closed.
func (s *source) get(key []byte) (rec record, found bool, err error) {
	if s.over != nil {
		if v := s.over.find(key, s.ts); v != nil {
			return v.rec, !v.deleted, nil
		}
	}
	s.buf = appendUserKey(s.buf[:0], key)
	b, err := s.view.Get(s.buf)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return record{}, false, nil
		}
		return record{}, false, err
	}
	rec, err = decodeRecord(key, b)
	return rec, err == nil, err
}

// head is get, but it may leave out the record's value.
func (s *source) head(key []byte) (rec record, found bool, err error) {
	if s.hot != nil {
		if v := s.over.find(key, s.ts); v != nil {
			return v.rec, !v.deleted, nil
		}
		if rec, found, known := s.hot.get(key); known {
			return rec, found, nil
		}
	}
	return s.get(key)
}

// headOr is head, or get where the value is wanted.
func (s *source) headOr(key []byte, withValue bool) (record, bool, error) {
	if withValue {
		return s.get(key)
	}
	return s.head(key)
}

// value reads the value of a record into memory of its own.
func (s *source) value(key []byte, rec *record) ([]byte, error) {
	if int(rec.size) == len(rec.value) {
		return bytes.Clone(rec.value), nil
	}
	value := make([]byte, 0, rec.size)
	for n := range rec.chunks() {
		s.buf = appendChunkKey(s.buf[:0], key, n)
		b, err := s.view.Get(s.buf)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("%w: chunk %d of key %q is missing", store.ErrCorrupt, n, key)
		} else if err != nil {
			return nil, err
		}
		data, err := decodeChunk(s.buf, rec.mod, b)
		if err != nil {
			return nil, err
		}
		value = append(value, data...)
	}
	if len(value) != int(rec.size) {
		return nil, fmt.Errorf("%w: chunks of key %q have %d bytes, not %d", store.ErrCorrupt, key, len(value), rec.size)
	}
	return value, nil
}

// keyValue is a record as the API shows it, with its value if asked.
func (s *source) keyValue(key []byte, rec *record, withValue bool) (*kvpb.KeyValue, error) {
	kv := rec.keyValue(bytes.Clone(key), nil)
	if withValue {
		value, err := s.value(key, rec)
		if err != nil {
			return nil, err
		}
		kv.Value = value
	}
	return kv, nil
}

// item is a key met by scan. It is valid during the call only.
type item struct {
	key []byte
	rec record
	it  store.Iterator // where the record still is; nil if rec has it
}

// record reads the key's record, without the chunks of its value.
func (i *item) record() (*record, error) {
	if i.it == nil {
		return &i.rec, nil
	}
	b := i.it.Value()
	if err := i.it.Err(); err != nil {
		return nil, err
	}
	rec, err := decodeRecord(i.key, b)
	i.rec, i.it = rec, nil
	return &i.rec, err
}

// scan calls fn for the live keys of a request's range in their order, or in
// the opposite order, until fn returns false or fails. fn must not write.
func (s *source) scan(key, end []byte, reverse bool, fn func(*item) (bool, error)) error {
	lower, upper := userBounds(key, end)
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	var own []*version
	if s.over != nil {
		if isOpenEnd(end) {
			end = nil
		}
		own = s.over.between(key, end, s.ts)
		if reverse {
			slices.Reverse(own)
		}
	}
	it := s.view.Scan(lower, upper, reverse)
	defer it.Close()
	for ok := it.Next(); ok || len(own) > 0; {
		// Of the same key in both places, the batch's own version counts.
		order := 1
		if !ok {
			order = -1
		} else if len(own) > 0 {
			order = bytes.Compare(own[0].key, it.Key()[1:])
			if reverse {
				order = -order
			}
		}
		goOn, err := true, it.Err()
		if err == nil && order > 0 {
			goOn, err = fn(&item{key: it.Key()[1:], it: it})
		} else if err == nil && !own[0].deleted {
			goOn, err = fn(&item{key: own[0].key, rec: own[0].rec})
		}
		if err != nil || !goOn {
			return err
		}
		if order <= 0 {
			own = own[1:]
		}
		if order >= 0 {
			ok = it.Next()
		}
	}
	return it.Err()
}
