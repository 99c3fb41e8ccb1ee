package mvcc

import (
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
)

// record is the state of one key.
//
//	crc32c 4 | format 1 | mod 8 | create 8 | version 8 | lease 8 | sub 4 | size 4 | [ttl 8] | value
//
// Format 2 has the time to live, format 1 is of keys without one.
// The checksum covers the user key and everything after itself. A value of more
// than chunkBytes is left out and stored in ceil(size/chunkBytes) chunks:
//
//	crc32c 4 | mod 8 | data
//
// whose checksum covers the chunk's state key and everything after itself; mod
// ties it to its record.
type record struct {
	mod, create, version, lease int64
	sub                         uint32 // place of the put inside its revision
	size                        uint32 // bytes of the value
	ttl                         int64  // the key's own, in milliseconds; 0 for none
	value                       []byte // nil where it is in chunks that were not read
}

const (
	recordFormat      = 1
	recordFormatTTL   = 2
	recordHeaderBytes = 4 + 1 + 4*8 + 2*4
	recordTTLBytes    = 8
	chunkHeaderBytes  = 4 + 8
	chunkBytes        = 512 << 10
)

// chunks is how many chunks the value takes; 0 where it is inline.
func (r *record) chunks() int {
	if r.size <= chunkBytes {
		return 0
	}
	return (int(r.size) + chunkBytes - 1) / chunkBytes
}

// encodedBytes is the size of what appendRecord appends.
func (r *record) encodedBytes() int {
	n := recordHeaderBytes
	if r.ttl > 0 {
		n += recordTTLBytes
	}
	if r.chunks() == 0 {
		n += len(r.value)
	}
	return n
}

func appendRecord(b, key []byte, r *record) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, recordFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(r.mod))
	b = binary.BigEndian.AppendUint64(b, uint64(r.create))
	b = binary.BigEndian.AppendUint64(b, uint64(r.version))
	b = binary.BigEndian.AppendUint64(b, uint64(r.lease))
	b = binary.BigEndian.AppendUint32(b, r.sub)
	b = binary.BigEndian.AppendUint32(b, r.size)
	if r.ttl > 0 {
		b[start+4] = recordFormatTTL
		b = binary.BigEndian.AppendUint64(b, uint64(r.ttl))
	}
	if r.chunks() == 0 {
		b = append(b, r.value...)
	}
	binary.BigEndian.PutUint32(b[start:], checksum(key, b[start+4:]))
	return b
}

// decodeRecord reads the record of a key. The value is a part of b.
func decodeRecord(key, b []byte) (record, error) {
	if len(b) < recordHeaderBytes || binary.BigEndian.Uint32(b) != checksum(key, b[4:]) {
		return record{}, fmt.Errorf("%w: record of key %q", store.ErrCorrupt, key)
	}
	if b[4] != recordFormat && b[4] != recordFormatTTL {
		return record{}, fmt.Errorf("mvcc: record of key %q has format %d, this program knows up to %d: upgrade it", key, b[4], recordFormatTTL)
	}
	r := record{
		mod:     int64(binary.BigEndian.Uint64(b[5:])),
		create:  int64(binary.BigEndian.Uint64(b[13:])),
		version: int64(binary.BigEndian.Uint64(b[21:])),
		lease:   int64(binary.BigEndian.Uint64(b[29:])),
		sub:     binary.BigEndian.Uint32(b[37:]),
		size:    binary.BigEndian.Uint32(b[41:]),
	}
	inline := b[recordHeaderBytes:]
	if b[4] == recordFormatTTL {
		if len(inline) < recordTTLBytes || int64(binary.BigEndian.Uint64(inline)) <= 0 {
			return record{}, fmt.Errorf("%w: record of key %q has no time to live", store.ErrCorrupt, key)
		}
		r.ttl, inline = int64(binary.BigEndian.Uint64(inline)), inline[recordTTLBytes:]
	}
	if r.chunks() == 0 {
		r.value = inline
	}
	if len(inline) != len(r.value) || r.chunks() == 0 && len(inline) != int(r.size) {
		return record{}, fmt.Errorf("%w: record of key %q has %d bytes of value, not %d", store.ErrCorrupt, key, len(inline), r.size)
	}
	return r, nil
}

func appendChunk(b, chunkKey []byte, mod int64, data []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 0), uint64(mod))
	b = append(b, data...)
	binary.BigEndian.PutUint32(b[start:], checksum(chunkKey, b[start+4:]))
	return b
}

// decodeChunk reads a chunk of the value written at revision mod.
func decodeChunk(chunkKey []byte, mod int64, b []byte) (data []byte, err error) {
	if len(b) < chunkHeaderBytes || binary.BigEndian.Uint32(b) != checksum(chunkKey, b[4:]) ||
		int64(binary.BigEndian.Uint64(b[4:])) != mod {
		return nil, fmt.Errorf("%w: chunk %q of revision %d", store.ErrCorrupt, chunkKey, mod)
	}
	return b[chunkHeaderBytes:], nil
}

// keyValue is the record as the API shows it, with the given value.
func (r *record) keyValue(key, value []byte) *kvpb.KeyValue {
	kv := &kvpb.KeyValue{}
	r.show(kv, key, value)
	return kv
}

// show is keyValue in memory that the caller has.
func (r *record) show(kv *kvpb.KeyValue, key, value []byte) {
	kv.Key, kv.Value = key, value
	kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease, kv.TtlMillis = r.create, r.mod, r.version, r.lease, r.ttl
}
