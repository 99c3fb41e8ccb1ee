package mvcc

import (
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/store"
)

// A change record says what consecutive revisions of one entry changed:
//
//	crc32c 4 | format 1 | last 1 | first revision 8 | index 8 | revisions
//	revision: command 2 | count 2 | count x (kind 1 | length of key 2 | key)
//
// Its key names the last of its revisions, so that a seek from a revision finds
// the record that holds it. A revision of more than blockChanges changes has
// records to itself, numbered blocks of so many changes each: the first change
// of a block has the sub block*blockChanges. Every other record is block 0.
//
// Last is 0 where another block of the same revision follows. A kind is one of
// change.kind. The TS of a revision is that of its command in the entry at
// index. The checksum covers the state key and everything after itself.
const (
	changeFormat      = 2
	changeHeaderBytes = 4 + 1 + 1 + 8 + 8
	// blockChanges keeps a block of the longest keys within the size of a state
	// value, and finds the block of a sub by division.
	blockChanges = 128
)

// A block of the longest keys fits into a state value.
const _ = uint(store.MaxStateValueBytes - changeHeaderBytes - 4 - blockChanges*(3+api.MaxKeyBytes))

type change struct {
	deleted bool
	expired bool // deleted because its time had run out
	key     []byte
}

const (
	changePut = iota
	changeDelete
	changeExpire
)

func (c *change) kind() byte {
	switch {
	case c.expired:
		return changeExpire
	case c.deleted:
		return changeDelete
	}
	return changePut
}

// openChanges is the change record that the entry being applied fills.
type openChanges struct {
	data        []byte // the revisions
	first, last int64
	changes     int
	ts          store.TS // of the last revision
}

// begin adds a revision of so many changes, which add then adds.
func (o *openChanges) begin(revision int64, ts store.TS, count int) {
	if o.changes == 0 {
		o.first = revision
	}
	o.last, o.ts = revision, ts
	o.data = binary.BigEndian.AppendUint16(o.data, uint16(ts%store.MaxCommands))
	o.data = binary.BigEndian.AppendUint16(o.data, uint16(count))
}

func (o *openChanges) add(c change) {
	o.changes++
	o.data = append(o.data, c.kind())
	o.data = binary.BigEndian.AppendUint16(o.data, uint16(len(c.key)))
	o.data = append(o.data, c.key...)
}

func (o *openChanges) reset() { o.data, o.changes = o.data[:0], 0 }

// appendTo appends the record.
func (o *openChanges) appendTo(b, recordKey []byte, last bool) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, changeFormat, flag(last))
	b = binary.BigEndian.AppendUint64(b, uint64(o.first))
	b = binary.BigEndian.AppendUint64(b, o.ts.Index())
	b = append(b, o.data...)
	binary.BigEndian.PutUint32(b[start:], checksum(recordKey, b[start+4:]))
	return b
}

// keepChanges gives the command's changes to the change records of its entry.
func (b *batch) keepChanges() {
	size, all := 4, b.changes
	for _, v := range all {
		size += 3 + len(v.key)
	}
	o := &b.open
	if len(all) > blockChanges || len(o.data)+size > recordBytes {
		b.closeChanges(0, true)
	}
	for from := 0; from < len(all); from += blockChanges {
		block := all[from:min(from+blockChanges, len(all))]
		o.begin(b.meta.revision, b.src.ts, len(block))
		for _, v := range block {
			o.add(change{deleted: v.deleted, expired: v.expired, key: v.key})
		}
		if len(all) > blockChanges {
			b.closeChanges(from/blockChanges, from+len(block) == len(all))
		}
	}
}

// closeChanges writes the open change record, if there is one.
func (b *batch) closeChanges(block int, last bool) {
	o := &b.open
	if o.changes == 0 {
		return
	}
	key := appendChangeKey(b.arena.alloc(changeKeyBytes), o.last, block)
	value := o.appendTo(b.arena.alloc(changeHeaderBytes+len(o.data)), key, last)
	b.muts = append(b.muts, store.Mutation{Key: key, Value: value, TS: o.ts})
	o.reset()
}

// changeRecord walks over the changes of a record. Keys are parts of the value
// that it was decoded from.
type changeRecord struct {
	first, last int64
	block       int
	complete    bool // no other block follows
	index       uint64

	// The current change, after next has returned true:
	change
	at  api.Position
	ts  store.TS // of its revision
	end bool     // it is the last one of its revision

	rest []byte
	left int // changes of the current revision in rest
}

func decodeChangeRecord(recordKey, b []byte) (r changeRecord, err error) {
	if r.last, r.block, err = decodeChangeKey(recordKey); err != nil {
		return r, err
	}
	if len(b) < changeHeaderBytes || binary.BigEndian.Uint32(b) != checksum(recordKey, b[4:]) {
		return r, fmt.Errorf("%w: change record %x", store.ErrCorrupt, recordKey)
	}
	if b[4] != changeFormat {
		return r, fmt.Errorf("mvcc: change record %x has format %d, this program knows %d: upgrade it", recordKey, b[4], changeFormat)
	}
	r.complete, r.first = b[5] == 1, int64(binary.BigEndian.Uint64(b[6:]))
	r.index, r.rest = binary.BigEndian.Uint64(b[14:]), b[changeHeaderBytes:]
	if r.at.Revision = r.first - 1; b[5] > 1 || store.At(r.index, 0).Index() != r.index ||
		r.first > r.last || r.first < r.last && (r.block > 0 || !r.complete) {
		return r, r.malformed()
	}
	return r, nil
}

func (r *changeRecord) malformed() error {
	return fmt.Errorf("%w: record of the changes of revisions %d to %d, block %d, is cut or has unknown changes", store.ErrCorrupt, r.first, r.last, r.block)
}

// next moves to the next change; false after the last one.
func (r *changeRecord) next() (ok bool, err error) {
	if r.left == 0 {
		if r.at.Revision == r.last && len(r.rest) == 0 {
			return false, nil
		}
		if r.at.Revision == r.last || len(r.rest) < 4 {
			return false, r.malformed()
		}
		command := int(binary.BigEndian.Uint16(r.rest))
		r.left = int(binary.BigEndian.Uint16(r.rest[2:]))
		if command >= store.MaxCommands || r.left == 0 || r.left > blockChanges {
			return false, r.malformed()
		}
		r.at = api.Position{Revision: r.at.Revision + 1, Sub: int64(r.block*blockChanges) - 1}
		r.ts, r.rest = store.At(r.index, command), r.rest[4:]
	}
	b := r.rest
	if len(b) < 3 || b[0] > changeExpire || len(b)-3 < int(binary.BigEndian.Uint16(b[1:])) {
		return false, r.malformed()
	}
	n := 3 + int(binary.BigEndian.Uint16(b[1:]))
	r.change = change{deleted: b[0] != changePut, expired: b[0] == changeExpire, key: b[3:n:n]}
	r.rest = b[n:]
	r.at.Sub++
	r.left--
	r.end = r.left == 0 && r.complete
	return true, nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
