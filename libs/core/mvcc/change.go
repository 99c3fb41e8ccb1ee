package mvcc

import (
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/store"
)

// changeBlock is a part of what one revision changed: up to blockChanges
// changes, the first of which has the sub block*blockChanges.
//
//	crc32c 4 | format 1 | ts 8 | last 1 | count 2 | count x (kind 1 | length of key 2 | key)
//
// A kind is one of change.kind.
// The checksum covers the block's state key and everything after itself. Last
// is 1 in the last block of a revision.
type changeBlock struct {
	ts      store.TS // of the command that made the revision
	last    bool
	changes []change
}

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

const (
	changeFormat      = 1
	changeHeaderBytes = 4 + 1 + 8 + 1 + 2
	// blockChanges keeps a block of the longest keys within the size of a state
	// value, and finds the block of a sub by division.
	blockChanges = 128
)

// A block of the longest keys fits into a state value.
const _ = uint(store.MaxStateValueBytes - changeHeaderBytes - blockChanges*(3+api.MaxKeyBytes))

func appendChangeBlock(b, blockKey []byte, c *changeBlock) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, changeFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(c.ts))
	b = append(b, flag(c.last))
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.changes)))
	for _, ch := range c.changes {
		b = append(b, ch.kind())
		b = binary.BigEndian.AppendUint16(b, uint16(len(ch.key)))
		b = append(b, ch.key...)
	}
	binary.BigEndian.PutUint32(b[start:], checksum(blockKey, b[start+4:]))
	return b
}

// decodeChangeBlock reads a block. Its keys are parts of b.
func decodeChangeBlock(blockKey, b []byte) (changeBlock, error) {
	if len(b) < changeHeaderBytes || binary.BigEndian.Uint32(b) != checksum(blockKey, b[4:]) {
		return changeBlock{}, fmt.Errorf("%w: change block %x", store.ErrCorrupt, blockKey)
	}
	if b[4] != changeFormat {
		return changeBlock{}, fmt.Errorf("mvcc: change block %x has format %d, this program knows %d: upgrade it", blockKey, b[4], changeFormat)
	}
	c := changeBlock{ts: store.TS(binary.BigEndian.Uint64(b[5:])), last: b[13] == 1}
	count := int(binary.BigEndian.Uint16(b[14:]))
	c.changes = make([]change, 0, min(count, blockChanges))
	rest := b[changeHeaderBytes:]
	for range count {
		if len(rest) < 3 || rest[0] > changeExpire || len(rest)-3 < int(binary.BigEndian.Uint16(rest[1:])) {
			return changeBlock{}, fmt.Errorf("%w: change block %x is cut or has unknown changes", store.ErrCorrupt, blockKey)
		}
		n := 3 + int(binary.BigEndian.Uint16(rest[1:]))
		c.changes = append(c.changes, change{deleted: rest[0] != changePut, expired: rest[0] == changeExpire, key: rest[3:n:n]})
		rest = rest[n:]
	}
	if len(rest) > 0 || count == 0 || count > blockChanges {
		return changeBlock{}, fmt.Errorf("%w: change block %x has %d changes and %d bytes after them", store.ErrCorrupt, blockKey, count, len(rest))
	}
	return c, nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
