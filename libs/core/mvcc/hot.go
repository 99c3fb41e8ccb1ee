package mvcc

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/kvorum/kvorum/libs/core/mutant"
)

// hot remembers, for the keys that were written last, what a write needs to know
// of its predecessor: the record without its value, or that there is none. It is
// as of the last applied entry, and saves the applier a read of the store for
// each write. What it holds decides nothing but speed.
//
// It has two generations of bounded size. A key is in the young one once it is
// written; when that is full, it becomes the old one, and the former old one is
// forgotten. Neither holds pointers, so that the garbage collector passes them by.
type hot struct {
	young, old generation
	seed       maphash.Seed
}

// generation is a list of keys with their records.
//
//	length of key 2 | mod 8 | create 8 | version 8 | lease 8 | ttl 8 | sub 4 | size 4 | key
//
// A version of 0 says that the key does not exist.
type generation struct {
	list []byte
	at   map[uint64]uint32 // place in list by the hash of the key
}

const (
	// hotBytes is how large the list of a generation may become.
	hotBytes       = 4 << 20
	hotHeaderBytes = 2 + 5*8 + 2*4
)

func newHot() *hot {
	h := &hot{seed: maphash.MakeSeed()}
	h.young.at, h.old.at = map[uint64]uint32{}, map[uint64]uint32{}
	return h
}

// get returns the record of a key without its value; known is false where the
// store must be asked.
func (h *hot) get(key []byte) (rec record, exists, known bool) {
	hash := maphash.Bytes(h.seed, key)
	b := h.young.find(hash, key)
	if b == nil {
		if b = h.old.find(hash, key); b == nil {
			return record{}, false, false
		}
	}
	rec = record{
		mod: int64(binary.LittleEndian.Uint64(b[2:])), create: int64(binary.LittleEndian.Uint64(b[10:])),
		version: int64(binary.LittleEndian.Uint64(b[18:])), lease: int64(binary.LittleEndian.Uint64(b[26:])),
		ttl: int64(binary.LittleEndian.Uint64(b[34:])),
		sub: binary.LittleEndian.Uint32(b[42:]), size: binary.LittleEndian.Uint32(b[46:]),
	}
	return rec, rec.version != 0, true
}

// set remembers the newest version of a key.
func (h *hot) set(v *version) {
	rec := &v.rec
	if v.deleted {
		if mutant.Is(mutant.HotKeepsDeleted) {
			return
		}
		rec = &record{}
	}
	hash := maphash.Bytes(h.seed, v.key)
	b := h.young.find(hash, v.key)
	if b == nil {
		if len(h.young.list)+hotHeaderBytes+len(v.key) > hotBytes {
			h.young, h.old = h.old, h.young
			h.young.list = h.young.list[:0]
			clear(h.young.at)
		}
		b = h.young.add(hash, v.key)
	}
	binary.LittleEndian.PutUint64(b[2:], uint64(rec.mod))
	binary.LittleEndian.PutUint64(b[10:], uint64(rec.create))
	binary.LittleEndian.PutUint64(b[18:], uint64(rec.version))
	binary.LittleEndian.PutUint64(b[26:], uint64(rec.lease))
	binary.LittleEndian.PutUint64(b[34:], uint64(rec.ttl))
	binary.LittleEndian.PutUint32(b[42:], rec.sub)
	binary.LittleEndian.PutUint32(b[46:], rec.size)
}

// find is the place of a key, nil if it is not there. Of two keys with the same
// hash, the one written last is there.
func (g *generation) find(hash uint64, key []byte) []byte {
	at, ok := g.at[hash]
	if !ok {
		return nil
	}
	b := g.list[at:]
	end := hotHeaderBytes + int(binary.LittleEndian.Uint16(b))
	if string(b[hotHeaderBytes:end]) != string(key) {
		return nil
	}
	return b[:end]
}

func (g *generation) add(hash uint64, key []byte) []byte {
	at := len(g.list)
	g.at[hash] = uint32(at)
	g.list = binary.LittleEndian.AppendUint16(g.list, uint16(len(key)))
	g.list = append(g.list, make([]byte, hotHeaderBytes-2)...)
	g.list = append(g.list, key...)
	return g.list[at:]
}
