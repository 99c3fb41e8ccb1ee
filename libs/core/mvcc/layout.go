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
//	'r' | revision 8 | block 4                       block of a revision's changes
//	'd' | slot 4                                     remembered message id
//	'l' | id 8                                       lease
//	'a' | id 8 | user key                            attachment of a key to a lease
//	't' | user key                                   time to live of a key
//	'n' | user key                                   segment of live keys, with the TS that counts.go tells
//	'm'                                              meta
//
// Everything that a command writes has the command's TS, the meta record has
// the end of its entry.
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

func appendUserKey(b, key []byte) []byte { return append(append(b, prefixKey), key...) }

func appendChunkKey(b, key []byte, n int) []byte {
	b = binary.BigEndian.AppendUint16(append(b, prefixChunk), uint16(len(key)))
	return binary.BigEndian.AppendUint32(append(b, key...), uint32(n))
}

func appendChangeKey(b []byte, revision int64, block int) []byte {
	b = binary.BigEndian.AppendUint64(append(b, prefixChange), uint64(revision))
	return binary.BigEndian.AppendUint32(b, uint32(block))
}

func appendSlotKey(b []byte, slot uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, prefixDedup), slot)
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
	if len(b) != 13 || b[0] != prefixChange {
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
