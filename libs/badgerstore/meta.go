package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// meta is the one record of the log database that every batch rewrites in the
// transaction of its entries: entries that it does not cover do not exist.
type meta struct {
	// seq counts the records. synced is the highest one that was known to be
	// on the device when this one was written: a log that ends below it has
	// lost something that it acknowledged.
	seq, synced uint64
	base        uint64 // index of the entry before the first one
	baseTerm    uint64
	last        uint64 // index of the last entry; base if there is none
	checkpoint  uint64
	state       uint64            // number of the state's directory
	mark        uint64            // what the state's mark is at least (state.go)
	hard        *raftpb.HardState // nil until the first one
	snapshot    *raftpb.SnapshotMetadata
}

// metaMagic begins a meta record, so that one can be found in a damaged file.
var metaMagic = []byte("KvrmMet1")

// The record: magic, then in big-endian the length of the body (4) and its
// CRC-32C (4), then the body:
//
//	seq synced base baseTerm last checkpoint state mark 8 each
//	has hard state (1) term vote commit                 8 each
//	snapshot metadata, protobuf                         the rest
const (
	metaHead  = 8 + 4 + 4
	metaFixed = 8*8 + 1 + 3*8
	metaMax   = 1 << 20 // of a body: far above any configuration
)

func (m *meta) encode() ([]byte, error) {
	b := make([]byte, metaHead, metaHead+metaFixed+64)
	copy(b, metaMagic)
	for _, v := range []uint64{m.seq, m.synced, m.base, m.baseTerm, m.last, m.checkpoint, m.state, m.mark} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	has := byte(0)
	if m.hard != nil {
		has = 1
	}
	b = append(b, has)
	for _, v := range []uint64{m.hard.GetTerm(), m.hard.GetVote(), m.hard.GetCommit()} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, m.snapshot)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-metaHead))
	binary.BigEndian.PutUint32(b[12:], crc32.Checksum(b[metaHead:], castagnoli))
	return b, nil
}

var errMeta = errors.New("the log's meta record is damaged")

// decodeMeta reads the record that b begins with.
func decodeMeta(b []byte) (*meta, error) {
	if len(b) < metaHead+metaFixed || !bytes.HasPrefix(b, metaMagic) {
		return nil, errMeta
	}
	size := binary.BigEndian.Uint32(b[8:])
	if size < metaFixed || size > metaMax || uint64(size) > uint64(len(b)-metaHead) {
		return nil, errMeta
	}
	body := b[metaHead : metaHead+int(size)]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[12:]) {
		return nil, errMeta
	}
	next := func() uint64 {
		v := binary.BigEndian.Uint64(body)
		body = body[8:]
		return v
	}
	m := &meta{snapshot: &raftpb.SnapshotMetadata{}}
	for _, p := range []*uint64{&m.seq, &m.synced, &m.base, &m.baseTerm, &m.last, &m.checkpoint, &m.state, &m.mark} {
		*p = next()
	}
	has := body[0]
	body = body[1:]
	term, vote, commit := next(), next(), next()
	if has == 1 {
		m.hard = &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
	}
	if err := proto.Unmarshal(body, m.snapshot); err != nil || has > 1 {
		return nil, errMeta
	}
	return m, nil
}

// syncedInFiles is the highest synced of any meta record in the memtable files
// of dir, read as plain bytes: Badger stops reading such a file at the first
// damaged record and forgets what follows.
func syncedInFiles(dir string) (uint64, error) {
	numbers, err := memNumbers(dir)
	if err != nil {
		return 0, err
	}
	var synced uint64
	for _, n := range numbers {
		raw, err := os.ReadFile(memPath(dir, n))
		if err != nil {
			return 0, fmt.Errorf("badgerstore: read a memtable file: %w", err)
		}
		for {
			i := bytes.Index(raw, metaMagic)
			if i < 0 {
				break
			}
			raw = raw[i:]
			if m, err := decodeMeta(raw); err == nil {
				synced = max(synced, m.synced)
			}
			raw = raw[len(metaMagic):]
		}
	}
	return synced, nil
}
