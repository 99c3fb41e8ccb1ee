package mvcc

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/kvorum/kvorum/libs/core/store"
)

// digest chains what entries did to the state:
//
//	digest(entry) = sha256(digest(entry before) | index 8 | effects)
//
// where the effects of its commands follow one another, each as a tag and
// fixed-size or length-prefixed fields:
//
//	'R' | revision 8 | ts 8 | changes 4            a new revision, then its changes:
//	'P' | length 4 | key | create 8 | version 8 | lease 8 | length 4 | value
//	'T' | ttl 8 | as 'P'                           the put of a key with a time to live
//	'D' | length 4 | key
//	'X' | length 4 | key                           its time had run out
//	'C' | compacted 8
//	'L' | id 8 | ttl 8 | ts 8                      a lease granted
//	'V' | id 8                                     a lease that ended, before the revision it makes
//	'I' | number 8 | oldest 8 | revision 8 | outcome 1 | 3 x (length 4 | bytes)
//
// Results and the bytes that package store sees are not part of it: they may
// change between versions of the program, effects do not.
type digest struct {
	h   hash.Hash
	buf []byte
}

// digestBufBytes is how much is gathered before it is hashed.
const digestBufBytes = 4 << 10

func newDigest() digest { return digest{h: sha256.New()} }

func (d *digest) begin(before [32]byte, index uint64) {
	d.h.Reset()
	d.buf = append(d.buf[:0], before[:]...)
	d.buf = binary.BigEndian.AppendUint64(d.buf, index)
}

func (d *digest) end() (sum [32]byte) {
	d.flush()
	d.h.Sum(sum[:0])
	return sum
}

func (d *digest) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *digest) words(v ...uint64) {
	for _, w := range v {
		d.buf = binary.BigEndian.AppendUint64(d.buf, w)
	}
}

// bytes adds a field. A long one is not copied.
func (d *digest) bytes(b []byte) {
	d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(b)))
	if len(d.buf)+len(b) <= digestBufBytes {
		d.buf = append(d.buf, b...)
		return
	}
	d.flush()
	d.h.Write(b)
}

func (d *digest) text(s string) {
	d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *digest) revision(m *meta, ts uint64, changes []*version) {
	d.buf = append(d.buf, 'R')
	d.words(uint64(m.revision), ts)
	d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(changes)))
	for _, v := range changes {
		switch {
		case v.expired:
			d.buf = append(d.buf, 'X')
			d.bytes(v.key)
			continue
		case v.deleted:
			d.buf = append(d.buf, 'D')
			d.bytes(v.key)
			continue
		case v.rec.ttl > 0:
			d.buf = append(d.buf, 'T')
			d.words(uint64(v.rec.ttl))
		}
		d.buf = append(d.buf, 'P')
		d.bytes(v.key)
		d.words(uint64(v.rec.create), uint64(v.rec.version), uint64(v.rec.lease))
		d.bytes(v.rec.value)
	}
}

func (d *digest) compacted(revision int64) {
	d.buf = append(d.buf, 'C')
	d.words(uint64(revision))
}

func (d *digest) granted(id int64, l *lease) {
	d.buf = append(d.buf, 'L')
	d.words(uint64(id), uint64(l.ttlMillis), uint64(l.granted))
}

func (d *digest) revoked(id int64) {
	d.buf = append(d.buf, 'V')
	d.words(uint64(id))
}

func (d *digest) remembered(s *slot, oldest uint64) {
	d.buf = append(d.buf, 'I')
	d.words(s.number, oldest, uint64(s.revision))
	d.buf = append(d.buf, byte(s.outcome))
	d.text(s.principal)
	d.text(s.msgID)
	d.bytes(s.hash)
}

// DigestAt reads the digest as of an earlier index, as far as the store still
// has it: else it fails with store.ErrNotFound.
func (p *Published) DigestAt(index uint64) ([32]byte, error) {
	if index > p.Index {
		return [32]byte{}, store.ErrNotFound
	}
	view, err := p.m.st.Read(store.EndOf(index))
	if errors.Is(err, store.ErrDiscarded) {
		return [32]byte{}, store.ErrNotFound
	} else if err != nil {
		return [32]byte{}, err
	}
	defer view.Close()
	b, err := view.Get(metaKey)
	if err != nil {
		return [32]byte{}, err
	}
	m, err := decodeMeta(b)
	if err == nil && m.index != index { // an older one, which happens to be left
		err = store.ErrNotFound
	}
	return m.digest, err
}
