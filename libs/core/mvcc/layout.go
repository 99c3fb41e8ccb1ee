package mvcc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/kvorum/kvorum/libs/core/store"
)

// The state keys. Integers are big-endian. Values are drawn where they are
// encoded: record.go, change.go, meta.go, slot.go, row.go.
//
//	'k' | user key                                   record
//	'c' | length of key 2 | user key | number 4      one chunk of a large value
//	'r' | last revision 8 | block 4                  changes of revisions
//	'd' | number of the first 8                      remembered message ids
//	'l' | id 8                                       lease
//	'a' | id 8 | user key                            attachment of a key to a lease
//	't' | user key                                   time to live of a key
//	'n' | user key                                   segment of live keys that begins there
//	'm'                                              meta
//
// Everything that a command writes has the command's TS, a record that several
// commands of an entry share that of the last one, the meta record the end of
// its entry, segments as counts.go tells.
const (
	prefixKey        = 'k'
	prefixChunk      = 'c'
	prefixChange     = 'r'
	prefixDedup      = 'd'
	prefixLease      = 'l'
	prefixAttachment = 'a'
	prefixTTL        = 't'
	prefixSegment    = 'n'
	prefixMeta       = 'm'
)

// recordBytes is about the size that a record of several revisions, or of
// several remembered ids, does not exceed.
const recordBytes = 32 << 10

func appendUserKey(b, key []byte) []byte { return append(append(b, prefixKey), key...) }

func appendChunkKey(b, key []byte, n int) []byte {
	b = binary.BigEndian.AppendUint16(append(b, prefixChunk), uint16(len(key)))
	return binary.BigEndian.AppendUint32(append(b, key...), uint32(n))
}

const changeKeyBytes = 1 + 8 + 4

func appendChangeKey(b []byte, revision int64, block int) []byte {
	b = binary.BigEndian.AppendUint64(append(b, prefixChange), uint64(revision))
	return binary.BigEndian.AppendUint32(b, uint32(block))
}

const slotKeyBytes = 1 + 8

func appendSlotKey(b []byte, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, prefixDedup), first)
}

// decodeSlotKey is the inverse of appendSlotKey.
func decodeSlotKey(b []byte) (first uint64, err error) {
	if len(b) != slotKeyBytes || b[0] != prefixDedup {
		return 0, fmt.Errorf("%w: dedup key %x", store.ErrCorrupt, b)
	}
	return binary.BigEndian.Uint64(b[1:]), nil
}

const leaseKeyBytes = 1 + 8

func appendLeaseKey(b []byte, id int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, prefixLease), uint64(id))
}

// attachmentHeaderBytes is what comes before the user key in an attachment's key.
const attachmentHeaderBytes = 1 + 8

func appendAttachmentKey(b []byte, id int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(b, prefixAttachment), uint64(id)), key...)
}

// attachmentBounds are those of the attachments to one lease.
func attachmentBounds(id int64) (lower, upper []byte) {
	lower = appendAttachmentKey(nil, id, nil)
	if uint64(id) == math.MaxUint64 {
		return lower, []byte{prefixAttachment + 1}
	}
	return lower, appendAttachmentKey(nil, id+1, nil)
}

func appendTTLKey(b, key []byte) []byte { return append(append(b, prefixTTL), key...) }

func appendSegmentKey[K string | []byte](b []byte, key K) []byte {
	return append(append(b, prefixSegment), key...)
}

// decodeChangeKey is the inverse of appendChangeKey.
func decodeChangeKey(b []byte) (revision int64, block int, err error) {
	if len(b) != changeKeyBytes || b[0] != prefixChange {
		return 0, 0, fmt.Errorf("%w: change key %x", store.ErrCorrupt, b)
	}
	return int64(binary.BigEndian.Uint64(b[1:])), int(binary.BigEndian.Uint32(b[9:])), nil
}

// userBounds turns a request's range into bounds of state keys. The range is
// [key, end), every key from key on where end is "\0".
func userBounds(key, end []byte) (lower, upper []byte) {
	lower = appendUserKey(nil, key)
	if isOpenEnd(end) {
		return lower, []byte{prefixKey + 1}
	}
	return lower, appendUserKey(nil, end)
}

// isOpenEnd tells whether a range end means that there is none.
func isOpenEnd(end []byte) bool { return len(end) == 1 && end[0] == 0 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers a value together with what identifies it, so that a value
// found under the wrong key does not pass.
func checksum(id, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(id, castagnoli), castagnoli, value)
}

// arena hands out byte slices for the mutations of one Apply with few
// allocations. They are never reused.
type arena struct{ block []byte }

// The first block of an arena is of the former size, each next one of twice the
// last one's up to the latter: most applies are of few small commands.
const (
	arenaFirstBytes = 1 << 10
	arenaBlockBytes = 64 << 10
)

// alloc returns an empty slice with room for n bytes.
func (a *arena) alloc(n int) []byte {
	if n > arenaBlockBytes/4 {
		return make([]byte, 0, n)
	}
	if cap(a.block)-len(a.block) < n {
		a.block = make([]byte, 0, min(max(arenaFirstBytes, 2*cap(a.block), 4*n), arenaBlockBytes))
	}
	start := len(a.block)
	a.block = a.block[:start+n]
	return a.block[start : start : start+n]
}

// slab hands out values of one type with few allocations. They are never reused.
type slab[T any] struct {
	free []T
	size int // of the last allocation
}

// slabMax is how many values are allocated at once at most: each keeps the
// others in memory.
const slabMax = 64

func (s *slab[T]) one() *T {
	if len(s.free) == 0 {
		s.size = min(2*s.size+1, slabMax)
		s.free = make([]T, s.size)
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}
