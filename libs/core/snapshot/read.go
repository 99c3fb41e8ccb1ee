package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Read decodes a stream into in and returns the metadata. The caller calls
// in.Finish after it returned no error, and in.Abort otherwise: what is in the
// stream is not trusted before its end was seen.
func Read(r io.Reader, in store.Incoming) (*raftpb.SnapshotMetadata, error) {
	fr := &frameReader{r: r, sum: sha256.New()}
	meta, err := fr.header()
	if err != nil {
		return nil, err
	}
	var count uint64
	var batch []store.Mutation
	size := 0
	for {
		m, err := fr.mutation()
		end := err == io.EOF
		if err != nil && !end {
			return nil, err
		}
		if !end {
			count++
			batch = append(batch, m)
			size += len(m.Key) + len(m.Value)
		}
		if len(batch) > 0 && (end || len(batch) >= batchMutations || size >= batchBytes) {
			if err := in.Write(batch); err != nil {
				return nil, err
			}
			batch, size = batch[:0], 0
		}
		if end {
			return meta, fr.trailer(count)
		}
	}
}

// frameReader puts the bytes of the frames together.
type frameReader struct {
	r     io.Reader
	sum   hash.Hash
	frame []byte // not yet consumed
	buf   []byte
}

// full reads exactly len(p) bytes of the stream.
func (f *frameReader) full(p []byte) error {
	if _, err := io.ReadFull(f.r, p); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("%w: the stream ends early", ErrDamaged)
		}
		return err
	}
	f.sum.Write(p)
	return nil
}

func (f *frameReader) header() (*raftpb.SnapshotMetadata, error) {
	head := make([]byte, len(magic)+4+4)
	if err := f.full(head); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, []byte(magic)) {
		return nil, fmt.Errorf("%w: it does not begin like a snapshot", ErrDamaged)
	}
	got, length := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if got > version {
		return nil, fmt.Errorf("%w: version %d, this one reads up to %d", ErrNewerVersion, got, version)
	}
	if got != version || length > maxMetadataBytes {
		return nil, fmt.Errorf("%w: header", ErrDamaged)
	}
	rest := make([]byte, length+4)
	if err := f.full(rest); err != nil {
		return nil, err
	}
	raw := rest[:length]
	if crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, raw) != binary.BigEndian.Uint32(rest[length:]) {
		return nil, fmt.Errorf("%w: checksum of the header", ErrDamaged)
	}
	meta := &raftpb.SnapshotMetadata{}
	if err := proto.Unmarshal(raw, meta); err != nil {
		return nil, fmt.Errorf("%w: metadata: %v", ErrDamaged, err)
	}
	return meta, nil
}

// next reads a frame; io.EOF at the trailer, of which it reads the first field.
func (f *frameReader) next() error {
	var head [8]byte
	if err := f.full(head[:4]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 {
		return io.EOF
	}
	if length > MaxFrameBytes {
		return fmt.Errorf("%w: frame of %d bytes", ErrDamaged, length)
	}
	if err := f.full(head[4:]); err != nil {
		return err
	}
	if f.buf == nil {
		f.buf = make([]byte, MaxFrameBytes)
	}
	f.frame = f.buf[:length]
	if err := f.full(f.frame); err != nil {
		return err
	}
	if crc32.Checksum(f.frame, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return fmt.Errorf("%w: checksum of a frame", ErrDamaged)
	}
	return nil
}

// take fills p from the frames. io.EOF means that they end before its first
// byte.
func (f *frameReader) take(p []byte) error {
	for done := 0; done < len(p); {
		if len(f.frame) == 0 {
			err := f.next()
			if err == io.EOF && done > 0 {
				return fmt.Errorf("%w: a record is cut off", ErrDamaged)
			}
			if err != nil {
				return err
			}
		}
		n := copy(p[done:], f.frame)
		f.frame = f.frame[n:]
		done += n
	}
	return nil
}

// mutation reads one record; io.EOF after the last one.
func (f *frameReader) mutation() (m store.Mutation, err error) {
	var head [1 + 8]byte
	if err := f.take(head[:]); err != nil {
		return m, err
	}
	m.TS = store.TS(binary.BigEndian.Uint64(head[1:]))
	m.Delete = head[0] == kindDeletion
	if m.TS == 0 || head[0] != kindValue && head[0] != kindDeletion {
		return m, fmt.Errorf("%w: record of kind %d at TS %d", ErrDamaged, head[0], m.TS)
	}
	if m.Key, err = f.bytes(store.MaxStateKeyBytes); err == nil && !m.Delete {
		m.Value, err = f.bytes(store.MaxStateValueBytes)
	}
	if err == nil && len(m.Key) == 0 {
		err = fmt.Errorf("%w: empty key", ErrDamaged)
	}
	if err == io.EOF {
		err = fmt.Errorf("%w: a record is cut off", ErrDamaged)
	}
	return m, err
}

// bytes reads a length and that many bytes.
func (f *frameReader) bytes(most uint32) ([]byte, error) {
	var length [4]byte
	if err := f.take(length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > most {
		return nil, fmt.Errorf("%w: field of %d bytes", ErrDamaged, n)
	}
	b := make([]byte, n)
	return b, f.take(b)
}

// trailer reads what follows the trailer's first field.
func (f *frameReader) trailer(count uint64) error {
	var n [8]byte
	if err := f.full(n[:]); err != nil {
		return err
	}
	want := f.sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if err := f.full(got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: hash of the whole", ErrDamaged)
	}
	if written := binary.BigEndian.Uint64(n[:]); written != count {
		return fmt.Errorf("%w: %d records of %d", ErrDamaged, count, written)
	}
	return nil
}
