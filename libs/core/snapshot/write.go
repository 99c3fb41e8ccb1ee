package snapshot

import (
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

// Write encodes all versions that v sees. meta says which index and which
// configuration the state is as of.
func Write(w io.Writer, v store.View, meta *raftpb.SnapshotMetadata) error {
	fw := &frameWriter{sum: sha256.New()}
	fw.w = io.MultiWriter(w, fw.sum)
	if err := fw.header(meta); err != nil {
		return err
	}
	var count uint64
	var head []byte
	err := v.Versions(func(m store.Mutation) error {
		count++
		head = appendHead(head[:0], m)
		if err := fw.write(head); err != nil || m.Delete {
			return err
		}
		return fw.write(m.Value)
	})
	if err != nil {
		return err
	}
	return fw.trailer(count)
}

// appendHead appends a record up to its value.
func appendHead(b []byte, m store.Mutation) []byte {
	kind := byte(kindValue)
	if m.Delete {
		kind = kindDeletion
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(m.TS))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Key)))
	b = append(b, m.Key...)
	if !m.Delete {
		b = binary.BigEndian.AppendUint32(b, uint32(len(m.Value)))
	}
	return b
}

// frameWriter cuts bytes into frames.
type frameWriter struct {
	w   io.Writer // of the stream and of sum
	sum hash.Hash
	buf []byte
}

func (f *frameWriter) header(meta *raftpb.SnapshotMetadata) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(meta)
	if err != nil {
		return err
	}
	if len(raw) > maxMetadataBytes {
		return fmt.Errorf("snapshot: metadata of %d bytes, at most %d", len(raw), maxMetadataBytes)
	}
	b := []byte(magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(raw)))
	b = append(b, raw...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err = f.w.Write(b)
	return err
}

func (f *frameWriter) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), MaxFrameBytes-len(f.buf))
		f.buf = append(f.buf, p[:n]...)
		p = p[n:]
		if len(f.buf) == MaxFrameBytes {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *frameWriter) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(f.buf)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(f.buf, castagnoli))
	if _, err := f.w.Write(head[:]); err != nil {
		return err
	}
	_, err := f.w.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

func (f *frameWriter) trailer(count uint64) error {
	if err := f.flush(); err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 4, 4+8), count)
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	_, err := f.w.Write(f.sum.Sum(nil))
	return err
}
