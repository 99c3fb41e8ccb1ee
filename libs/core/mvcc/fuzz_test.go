package mvcc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
)

// The decoders are fuzzed behind their checksums: the harness makes the
// checksum right, as a bug that writes nonsense would. Whatever they accept
// they must read the same from its own encoding.

// sealed is b with a valid checksum, nil if there is no room for one.
func sealed(id, b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	b = append([]byte(nil), b...)
	binary.BigEndian.PutUint32(b, checksum(id, b[4:]))
	return b
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("k"), appendRecord(nil, []byte("k"), &record{mod: 3, create: 2, version: 2, lease: 9, sub: 1, size: 2, value: []byte("hi")}))
	f.Add([]byte("k"), appendRecord(nil, []byte("k"), &record{mod: 3, create: 2, version: 2, size: 1 << 20}))
	f.Add([]byte("k"), appendRecord(nil, []byte("k"), &record{mod: 3, create: 2, version: 2, ttl: 100, size: 2, value: []byte("hi")}))
	f.Add([]byte("k"), appendRecord(nil, []byte("k"), &record{mod: 3, create: 2, version: 2, ttl: 100, size: 1 << 20}))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		r, err := decodeRecord(key, sealed(key, b))
		if err != nil {
			return
		}
		again, err := decodeRecord(key, appendRecord(nil, key, &r))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v, then %+v %v", r, again, err)
		}
	})
}

// someChanges are two revisions of the entry at index 5.
func someChanges() *openChanges {
	o := &openChanges{}
	o.begin(6, store.At(5, 0), 2)
	o.add(change{key: []byte("a")})
	o.add(change{deleted: true, key: []byte("bc")})
	o.begin(7, store.At(5, 3), 1)
	o.add(change{deleted: true, expired: true, key: []byte("d")})
	return o
}

// readAgain makes a record of what a changeRecord reads.
func readAgain(recordKey, b []byte) (o openChanges, complete bool, err error) {
	r, err := decodeChangeRecord(recordKey, b)
	if err != nil {
		return o, false, err
	}
	for {
		ok, err := r.next()
		if err != nil || !ok {
			return o, r.complete, err
		}
		if r.at.Sub == int64(r.block*blockChanges) {
			o.begin(r.at.Revision, r.ts, r.left+1)
		}
		o.add(r.change)
	}
}

func FuzzChangeRecord(f *testing.F) {
	f.Add(someChanges().appendTo(nil, appendChangeKey(nil, 7, 0), true), int64(7), 0)
	one := &openChanges{}
	one.begin(7, store.At(5, 1), 1)
	one.add(change{key: []byte("a")})
	f.Add(one.appendTo(nil, appendChangeKey(nil, 7, 2), false), int64(7), 2)
	f.Fuzz(func(t *testing.T, b []byte, last int64, block int) {
		if last < 0 || block < 0 || block > 1<<20 {
			return
		}
		key := appendChangeKey(nil, last, block)
		b = sealed(key, b)
		o, complete, err := readAgain(key, b)
		if err != nil {
			return
		}
		again := o.appendTo(nil, key, complete)
		b[5] = flag(complete)
		if !bytes.Equal(again, sealed(key, b)) || o.last != last {
			t.Fatalf("%x, then %x: revisions %d to %d", b, again, o.first, o.last)
		}
	})
}

func FuzzRow(f *testing.F) {
	key := appendLeaseKey(nil, 7)
	for words := range 4 {
		f.Add(appendRow(nil, key, nil, make([]uint64, words)...), uint8(words))
	}
	f.Add(appendRow(nil, key, []byte("tail"), 1, 2, 3), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, words uint8) {
		read, again := make([]uint64, words%8), make([]uint64, words%8)
		var tail, tailAgain []byte
		b = sealed(key, b)
		err := decodeRow(key, b, read, &tail)
		if strict := decodeRow(key, b, again, nil); (strict == nil) != (err == nil && len(tail) == 0) {
			t.Fatalf("%x: %v with a tail %q, %v without", b, err, tail, strict)
		}
		if err != nil {
			return
		}
		encoded := appendRow(nil, key, tail, read...)
		err = decodeRow(key, encoded, again, &tailAgain)
		if err != nil || !reflect.DeepEqual(read, again) || !bytes.Equal(tail, tailAgain) || !bytes.Equal(b, encoded) {
			t.Fatalf("%x as %x: %v %q, then %v %q %v", b, encoded, read, tail, again, tailAgain, err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add(appendMeta(nil, &meta{index: 1, term: 2, revision: 3, compacted: 2, compactedTS: 1025, dedupTail: 4, dedupHead: 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(sealed(metaKey, b))
		if err != nil {
			return
		}
		if again, err := decodeMeta(appendMeta(nil, &m)); err != nil || m != again {
			t.Fatalf("%+v, then %+v %v", m, again, err)
		}
	})
}

// someSlots are one plain and one of a transaction.
func someSlots(t testing.TB) (slots []byte) {
	for _, res := range []Result{
		{Response: &kvpb.PutResponse{Revision: 3, Kv: &kvpb.KeyValue{Key: []byte("k"), CreateRevision: 2, ModRevision: 3, Version: 2, Lease: -3}}, Revision: 3},
		{Response: &kvpb.TxnResponse{Revision: 4, Succeeded: true}, Revision: 4},
	} {
		s := slot{principal: "p", msgID: "id", hash: []byte("h")}
		if err := s.setResult(&res, 100, nil); err != nil {
			t.Fatal(err)
		}
		slots = appendSlot(slots, &s)
	}
	return slots
}

func FuzzSlots(f *testing.F) {
	key := appendSlotKey(nil, 3)
	f.Add(appendSlotRecord(nil, key, someSlots(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		slots, err := decodeSlotRecord(key, sealed(key, b))
		for err == nil && len(slots) > 0 {
			var s slot
			if s, slots, err = cutSlot(slots); err != nil {
				break
			}
			again, rest, err := cutSlot(appendSlot(nil, &s))
			if err != nil || len(rest) > 0 || !reflect.DeepEqual(s, again) {
				t.Fatalf("%+v, then %+v %x %v", s, again, rest, err)
			}
			if res, err := s.result(); err != nil && !errors.Is(err, store.ErrCorrupt) || err == nil && res.Response == nil && res.Err == nil {
				t.Fatalf("result %+v %v", res, err)
			}
		}
	})
}

func FuzzChunk(f *testing.F) {
	key := appendChunkKey(nil, []byte("k"), 1)
	f.Add(appendChunk(nil, key, 5, []byte("data")), int64(5))
	f.Fuzz(func(t *testing.T, b []byte, mod int64) {
		data, err := decodeChunk(key, mod, sealed(key, b))
		if err == nil && len(data) != len(b)-chunkHeaderBytes {
			t.Fatalf("%d bytes of %d", len(data), len(b))
		}
	})
}

// What a checksum covers and no version of the program writes is corrupt.
func TestMalformed(t *testing.T) {
	key, changeKey := []byte("k"), appendChangeKey(nil, 7, 0)
	rec := func(change func(b []byte) []byte) error {
		_, err := decodeRecord(key, sealed(key, change(appendRecord(nil, key, &record{mod: 3, ttl: 100}))))
		return err
	}
	changes := func(recordKey []byte, edit func(b []byte) []byte) error {
		_, _, err := readAgain(recordKey, sealed(recordKey, edit(someChanges().appendTo(nil, recordKey, true))))
		return err
	}
	set := func(at int, to byte) func(b []byte) []byte {
		return func(b []byte) []byte { b[at] = to; return b }
	}
	ttl := func(millis uint64) func(b []byte) []byte {
		return func(b []byte) []byte { return binary.BigEndian.AppendUint64(b[:recordHeaderBytes], millis) }
	}
	for name, c := range map[string]struct {
		err error
		ok  bool
	}{
		"ttl":              {rec(ttl(1)), true},
		"no ttl":           {rec(ttl(0)), false},
		"negative ttl":     {rec(ttl(1 << 63)), false},
		"half a ttl":       {rec(func(b []byte) []byte { return b[:recordHeaderBytes+4] }), false},
		"changes":          {changes(changeKey, set(5, 1)), true},
		"expired":          {changes(changeKey, set(changeHeaderBytes+4, changeExpire)), true},
		"unknown change":   {changes(changeKey, set(changeHeaderBytes+4, changeExpire+1)), false},
		"no changes":       {changes(changeKey, set(changeHeaderBytes+3, 0)), false},
		"many changes":     {changes(changeKey, set(changeHeaderBytes+3, blockChanges+1)), false},
		"command too high": {changes(changeKey, set(changeHeaderBytes, 4)), false},
		"not complete":     {changes(changeKey, set(5, 0)), false},
		"other first":      {changes(changeKey, set(13, 5)), false},
		"first after last": {changes(changeKey, set(13, 8)), false},
		"more than last":   {changes(appendChangeKey(nil, 6, 0), set(5, 1)), false},
		"less than last":   {changes(appendChangeKey(nil, 8, 0), set(5, 1)), false},
		"second block":     {changes(appendChangeKey(nil, 7, 1), set(5, 1)), false},
		"half a revision":  {changes(changeKey, func(b []byte) []byte { return b[:len(b)-1] }), false},
		"half a header":    {changes(changeKey, func(b []byte) []byte { return append(b, 0) }), false},
	} {
		if c.ok != (c.err == nil) || !c.ok && !errors.Is(c.err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

// A flipped bit anywhere in a stored value is noticed.
func TestFlippedBits(t *testing.T) {
	key, slotKey, chunkKey, changeKey := []byte("k"), appendSlotKey(nil, 3), appendChunkKey(nil, []byte("k"), 1), appendChangeKey(nil, 7, 0)
	for name, c := range map[string]struct {
		b      []byte
		decode func(b []byte) error
	}{
		"record": {appendRecord(nil, key, &record{mod: 3, size: 2, value: []byte("hi")}), func(b []byte) error { _, err := decodeRecord(key, b); return err }},
		"chunk":  {appendChunk(nil, chunkKey, 3, []byte("hi")), func(b []byte) error { _, err := decodeChunk(chunkKey, 3, b); return err }},
		"change": {someChanges().appendTo(nil, changeKey, true), func(b []byte) error { _, _, err := readAgain(changeKey, b); return err }},
		"meta":   {appendMeta(nil, &meta{index: 1}), func(b []byte) error { _, err := decodeMeta(b); return err }},
		"slot":   {appendSlotRecord(nil, slotKey, someSlots(t)), func(b []byte) error { _, err := decodeSlotRecord(slotKey, b); return err }},
		"row":    {appendRow(nil, slotKey, []byte("x"), 1, 2), func(b []byte) error { return decodeRow(slotKey, b, make([]uint64, 2), new([]byte)) }},
		"ttl":    {appendRecord(nil, key, &record{mod: 3, ttl: 100}), func(b []byte) error { _, err := decodeRecord(key, b); return err }},
	} {
		if err := c.decode(c.b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for bit := range len(c.b) * 8 {
			c.b[bit/8] ^= 1 << (bit % 8)
			if err := c.decode(c.b); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s with bit %d flipped: %v", name, bit, err)
			}
			c.b[bit/8] ^= 1 << (bit % 8)
		}
	}
	if err := decodeRow([]byte("other"), appendRow(nil, key, nil, 1), make([]uint64, 1), nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("row under another key: %v", err)
	}
	if err := decodeRow(key, appendRow(nil, key, nil, 1), make([]uint64, 2), new([]byte)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("row of one word read as of two: %v", err)
	}
	if _, err := decodeRecord([]byte("other"), appendRecord(nil, key, &record{})); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("record under another key: %v", err)
	}
}
