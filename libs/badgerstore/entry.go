package badgerstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Keys of the log database:
//
//	m                              the meta record
//	e index(8) chunk(2)            one chunk of one entry, numbers big-endian
//
// A chunk: CRC-32C over key and rest (4), number of chunks of the entry (2),
// a part of the entry's protobuf bytes.
const (
	metaKey     = "m"
	entryPrefix = 'e'
	entryKeyLen = 1 + 8 + 2
	chunkHead   = 4 + 2
	chunkBytes  = 64 << 10

	// maxEntryBytes is the largest entry, encoded: it has to fit into one
	// transaction, which Badger bounds by 15% of a memtable.
	maxEntryBytes = store.MaxEntryBytes
)

var errChunk = errors.New("an entry's record is damaged")

func entryKey(index uint64, chunk int) []byte {
	k := make([]byte, 0, entryKeyLen)
	k = append(k, entryPrefix)
	k = binary.BigEndian.AppendUint64(k, index)
	return binary.BigEndian.AppendUint16(k, uint16(chunk))
}

// keyIndex is the index of the entry that a key belongs to.
func keyIndex(key []byte) (index uint64, chunk int, ok bool) {
	if len(key) != entryKeyLen || key[0] != entryPrefix {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), int(binary.BigEndian.Uint16(key[9:])), true
}

// encodeEntry cuts an entry into records.
func encodeEntry(e *raftpb.Entry) ([]*badger.Entry, error) {
	size := proto.Size(e)
	raw, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, chunkHead, chunkHead+size), e)
	if err != nil {
		return nil, err
	}
	count := max(1, (size+chunkBytes-1)/chunkBytes)
	records := make([]*badger.Entry, 0, count)
	for i := range count {
		value := raw // The only chunk is where the entry was encoded.
		if count > 1 {
			from, to := chunkHead+i*chunkBytes, chunkHead+min(size, (i+1)*chunkBytes)
			value = append(make([]byte, chunkHead, chunkHead+to-from), raw[from:to]...)
		}
		key := entryKey(e.GetIndex(), i)
		binary.BigEndian.PutUint16(value[4:], uint16(count))
		binary.BigEndian.PutUint32(value, chunkSum(key, value))
		records = append(records, badger.NewEntry(key, value))
	}
	return records, nil
}

func chunkSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
}

// chunks puts an entry together from its records, given in order.
type chunks struct {
	index       uint64
	count, seen int
	raw         []byte
}

// add takes the next record and returns the entry once it is complete. Chunks
// of an entry that was replaced were removed before the new one was written.
func (c *chunks) add(key, value []byte) (*raftpb.Entry, error) {
	index, chunk, ok := keyIndex(key)
	if !ok || len(value) < chunkHead || chunkSum(key, value) != binary.BigEndian.Uint32(value) {
		return nil, errChunk
	}
	if chunk == 0 {
		*c = chunks{index: index, count: int(binary.BigEndian.Uint16(value[4:])), raw: c.raw[:0]}
	}
	if index != c.index || chunk != c.seen || chunk >= c.count {
		return nil, errChunk
	}
	c.raw = append(c.raw, value[chunkHead:]...)
	c.seen++
	if c.seen < c.count {
		return nil, nil
	}
	e := &raftpb.Entry{}
	if err := proto.Unmarshal(c.raw, e); err != nil || e.GetIndex() != index {
		return nil, errChunk
	}
	return e, nil
}
