package mvcc

import (
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/store"
)

// meta is what the machine knows beside its keys, as of the end of one entry.
// Every entry writes one, so that the machine can be opened at any index.
//
//	crc32c 4 | format 1 | index 8 | term 8 | revision 8 | compacted 8 |
//	compacted TS 8 | dedup tail 8 | dedup head 8 | digest 32
//
// The checksum covers everything after itself.
type meta struct {
	index, term uint64
	revision    int64
	compacted   int64    // 0: never
	compactedTS store.TS // of the compacted revision
	dedupTail   uint64   // number of the oldest remembered id
	dedupHead   uint64   // number of the next one
	digest      [32]byte
}

const (
	// metaFormat is of the whole state: a state of another one is not opened.
	metaFormat = 2
	metaBytes  = 4 + 1 + 7*8 + 32
)

var metaKey = []byte{prefixMeta}

func appendMeta(b []byte, m *meta) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, metaFormat)
	for _, v := range [...]uint64{m.index, m.term, uint64(m.revision), uint64(m.compacted), uint64(m.compactedTS), m.dedupTail, m.dedupHead} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, m.digest[:]...)
	binary.BigEndian.PutUint32(b[start:], checksum(metaKey, b[start+4:]))
	return b
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) != metaBytes || binary.BigEndian.Uint32(b) != checksum(metaKey, b[4:]) {
		return meta{}, fmt.Errorf("%w: meta record", store.ErrCorrupt)
	}
	if b[4] != metaFormat {
		return meta{}, fmt.Errorf("mvcc: the state has format %d, this program knows %d: use the version that wrote it, or begin with an empty data directory", b[4], metaFormat)
	}
	word := func(n int) uint64 { return binary.BigEndian.Uint64(b[5+8*n:]) }
	m := meta{
		index: word(0), term: word(1), revision: int64(word(2)), compacted: int64(word(3)),
		compactedTS: store.TS(word(4)), dedupTail: word(5), dedupHead: word(6),
	}
	copy(m.digest[:], b[5+7*8:])
	return m, nil
}
