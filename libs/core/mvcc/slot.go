package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

// slot is one remembered message id with the result of its command. Those that
// one entry remembers share slot records:
//
//	crc32c 4 | format 1 | slots
//	slot: outcome 1 | flags 1 | revision | size | length | principal |
//	length | message id | length | request hash | length | body
//
// A record's key has the number of its first slot, the others follow without a
// gap. The checksum covers the state key and everything after itself. Integers
// without a number of bytes are unsigned varints. Flags are slotOmitted and
// slotPlain. Body is the response, or the error as a kvpb.Error, in protobuf of
// size bytes; that of a plain slot, of a put without prev_kv, is
//
//	create | version | lease | time to live in milliseconds | key
type slot struct {
	number    uint64 // remembered ids before it, ever
	revision  int64  // of the result
	outcome   outcome
	omitted   bool // the body has lost its results
	plain     bool
	size      int // of the body in protobuf
	principal string
	msgID     string
	hash      []byte
	body      []byte
}

const (
	slotOmitted = 1 << iota
	slotPlain
)

// counted is what the slot counts of the window's bytes. It tells what is
// evicted, so it does not depend on how slots are stored.
func (s *slot) counted() int {
	return 29 + len(s.principal) + len(s.msgID) + len(s.hash) + s.size
}

// outcome tells what the body of a slot is.
type outcome byte

const (
	outcomePut outcome = 1 + iota
	outcomeDelete
	outcomeTxn
	outcomeCompact
	outcomeError
	outcomeGrant
	outcomeRevoke
)

const (
	slotFormat      = 2
	slotHeaderBytes = 4 + 1 // of a record
)

func appendSlot(b []byte, s *slot) []byte {
	b = append(b, byte(s.outcome), flag(s.omitted)*slotOmitted|flag(s.plain)*slotPlain)
	b = binary.AppendUvarint(b, uint64(s.revision))
	b = binary.AppendUvarint(b, uint64(s.size))
	b = append(binary.AppendUvarint(b, uint64(len(s.principal))), s.principal...)
	b = append(binary.AppendUvarint(b, uint64(len(s.msgID))), s.msgID...)
	b = append(binary.AppendUvarint(b, uint64(len(s.hash))), s.hash...)
	return append(binary.AppendUvarint(b, uint64(len(s.body))), s.body...)
}

// cutSlot reads the slot at the beginning of slots, all but its number, and
// gives what follows. Hash and body are parts of slots.
func cutSlot(slots []byte) (s slot, rest []byte, err error) {
	c := cutter{rest: slots}
	head := c.bytes(2)
	s.revision, s.size = int64(c.uvarint()), int(c.uvarint())
	s.principal, s.msgID = string(c.bytes(c.uvarint())), string(c.bytes(c.uvarint()))
	s.hash, s.body = c.bytes(c.uvarint()), c.bytes(c.uvarint())
	if c.short {
		return slot{}, nil, fmt.Errorf("%w: dedup slot is cut", store.ErrCorrupt)
	}
	s.outcome, s.omitted, s.plain = outcome(head[0]), head[1]&slotOmitted != 0, head[1]&slotPlain != 0
	return s, c.rest, nil
}

// cutter cuts fields off a slice. What is cut after it was too short is nothing.
type cutter struct {
	rest  []byte
	short bool
}

func (c *cutter) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.short, n = true, 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cutter) bytes(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.short, n = true, 0
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// appendSlotRecord appends the record of some slots.
func appendSlotRecord(b, recordKey, slots []byte) []byte {
	start := len(b)
	b = append(append(b, 0, 0, 0, 0, slotFormat), slots...)
	binary.BigEndian.PutUint32(b[start:], checksum(recordKey, b[start+4:]))
	return b
}

// decodeSlotRecord is the inverse of appendSlotRecord. The slots are a part of b.
func decodeSlotRecord(recordKey, b []byte) (slots []byte, err error) {
	if len(b) < slotHeaderBytes || binary.BigEndian.Uint32(b) != checksum(recordKey, b[4:]) {
		return nil, fmt.Errorf("%w: dedup record %x", store.ErrCorrupt, recordKey)
	}
	if b[4] != slotFormat {
		return nil, fmt.Errorf("mvcc: dedup record %x has format %d, this program knows %d: upgrade it", recordKey, b[4], slotFormat)
	}
	return b[slotHeaderBytes:], nil
}

// setResult stores a result in the slot; one of more than bytesMax without what
// makes it large. The body is appended to buf, which must be empty.
func (s *slot) setResult(res *Result, bytesMax int, buf []byte) error {
	s.revision, s.omitted = res.Revision, res.Omitted
	msg := res.Response
	switch r := msg.(type) {
	case *kvpb.PutResponse:
		s.outcome = outcomePut
	case *kvpb.DeleteRangeResponse:
		s.outcome = outcomeDelete
	case *kvpb.TxnResponse:
		s.outcome = outcomeTxn
	case *kvpb.CompactResponse:
		s.outcome = outcomeCompact
	case *kvpb.LeaseGrantResponse:
		s.outcome = outcomeGrant
	case *kvpb.LeaseRevokeResponse:
		s.outcome = outcomeRevoke
	case nil:
		s.outcome = outcomeError
		msg = &kvpb.Error{
			Kind: string(res.Err.Kind), Message: res.Err.Message, Revision: res.Err.Revision,
			ModRevision: res.Err.ModRevision, Compacted: res.Err.Compacted,
		}
	default:
		return fmt.Errorf("mvcc: cannot remember a %T", r)
	}
	s.size = proto.Size(msg)
	if s.outcome != outcomeError && s.size > bytesMax {
		msg, s.omitted = withoutResults(msg), true
		s.size = proto.Size(msg)
	}
	var err error
	if r, put := msg.(*kvpb.PutResponse); put && r.PrevKv == nil {
		s.plain, s.body = true, appendPlain(buf, r.Kv)
	} else {
		s.body, err = proto.MarshalOptions{}.MarshalAppend(buf, msg)
	}
	return err
}

func appendPlain(b []byte, kv *kvpb.KeyValue) []byte {
	for _, v := range [...]int64{kv.CreateRevision, kv.Version, kv.Lease, kv.TtlMillis} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return append(b, kv.Key...)
}

// plainResult is the response of a plain slot.
func (s *slot) plainResult() (*kvpb.PutResponse, error) {
	c := cutter{rest: s.body}
	kv := &kvpb.KeyValue{ModRevision: s.revision}
	for _, v := range [...]*int64{&kv.CreateRevision, &kv.Version, &kv.Lease, &kv.TtlMillis} {
		*v = int64(c.uvarint())
	}
	if c.short {
		return nil, fmt.Errorf("%w: response in dedup slot %d is cut", store.ErrCorrupt, s.number)
	}
	kv.Key = bytes.Clone(c.rest)
	return &kvpb.PutResponse{Revision: s.revision, Kv: kv}, nil
}

// result is the inverse of setResult, for a repeated command.
func (s *slot) result() (Result, error) {
	res := Result{Revision: s.revision, Duplicate: true, Omitted: s.omitted}
	switch s.outcome {
	case outcomePut:
		if s.plain {
			var err error
			res.Response, err = s.plainResult()
			return res, err
		}
		res.Response = &kvpb.PutResponse{}
	case outcomeDelete:
		res.Response = &kvpb.DeleteRangeResponse{}
	case outcomeTxn:
		res.Response = &kvpb.TxnResponse{}
	case outcomeCompact:
		res.Response = &kvpb.CompactResponse{}
	case outcomeGrant:
		res.Response = &kvpb.LeaseGrantResponse{}
	case outcomeRevoke:
		res.Response = &kvpb.LeaseRevokeResponse{}
	case outcomeError:
		var e kvpb.Error
		if err := proto.Unmarshal(s.body, &e); err != nil {
			return Result{}, fmt.Errorf("%w: error in dedup slot %d: %v", store.ErrCorrupt, s.number, err)
		}
		res.Err = &api.Error{Kind: api.Kind(e.Kind), Message: e.Message, Revision: e.Revision, ModRevision: e.ModRevision, Compacted: e.Compacted}
		return res, nil
	default:
		return Result{}, fmt.Errorf("%w: dedup slot %d has outcome %d", store.ErrCorrupt, s.number, s.outcome)
	}
	if err := proto.Unmarshal(s.body, res.Response); err != nil {
		return Result{}, fmt.Errorf("%w: response in dedup slot %d: %v", store.ErrCorrupt, s.number, err)
	}
	return res, nil
}

// withoutResults is the outcome of a committed command alone.
func withoutResults(resp proto.Message) proto.Message {
	switch r := resp.(type) {
	case *kvpb.PutResponse:
		kv := r.Kv
		return &kvpb.PutResponse{Revision: r.Revision, Kv: &kvpb.KeyValue{
			CreateRevision: kv.GetCreateRevision(), ModRevision: kv.GetModRevision(), Version: kv.GetVersion(), Lease: kv.GetLease(), TtlMillis: kv.GetTtlMillis(),
		}}
	case *kvpb.DeleteRangeResponse:
		return &kvpb.DeleteRangeResponse{Revision: r.Revision, Deleted: r.Deleted}
	case *kvpb.TxnResponse:
		return &kvpb.TxnResponse{Revision: r.Revision, Succeeded: r.Succeeded, ResultsOmitted: true}
	}
	return resp
}
