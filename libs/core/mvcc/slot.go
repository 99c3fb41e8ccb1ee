package mvcc

import (
	"encoding/binary"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

// slot is one remembered message id with the result of its command.
//
//	crc32c 4 | format 1 | number 8 | revision 8 | outcome 1 | omitted 1 |
//	length 2 | principal | length 2 | message id | length 2 | request hash | body
//
// The checksum covers the state key and everything after itself. Body is the
// response, or the error as a kvpb.Error, in protobuf.
type slot struct {
	number    uint64 // remembered ids before it, ever
	revision  int64  // of the result
	outcome   outcome
	omitted   bool // the body has lost its results
	principal string
	msgID     string
	hash      []byte
	body      []byte
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
	slotFormat      = 1
	slotHeaderBytes = 4 + 1 + 8 + 8 + 1 + 1
)

func appendSlot(b, slotKey []byte, s *slot) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, slotFormat)
	b = binary.BigEndian.AppendUint64(b, s.number)
	b = binary.BigEndian.AppendUint64(b, uint64(s.revision))
	b = append(b, byte(s.outcome), flag(s.omitted))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(s.principal))), s.principal...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(s.msgID))), s.msgID...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(s.hash))), s.hash...)
	b = append(b, s.body...)
	binary.BigEndian.PutUint32(b[start:], checksum(slotKey, b[start+4:]))
	return b
}

// decodeSlot reads a slot. Hash and body are parts of b.
func decodeSlot(slotKey, b []byte) (slot, error) {
	if len(b) < slotHeaderBytes || binary.BigEndian.Uint32(b) != checksum(slotKey, b[4:]) {
		return slot{}, fmt.Errorf("%w: dedup slot %x", store.ErrCorrupt, slotKey)
	}
	if b[4] != slotFormat {
		return slot{}, fmt.Errorf("mvcc: dedup slot %x has format %d, this program knows %d: upgrade it", slotKey, b[4], slotFormat)
	}
	s := slot{
		number:   binary.BigEndian.Uint64(b[5:]),
		revision: int64(binary.BigEndian.Uint64(b[13:])),
		outcome:  outcome(b[21]),
		omitted:  b[22] == 1,
	}
	rest := b[slotHeaderBytes:]
	var fields [3][]byte
	for i := range fields {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return slot{}, fmt.Errorf("%w: dedup slot %x is cut", store.ErrCorrupt, slotKey)
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		fields[i], rest = rest[2:n:n], rest[n:]
	}
	s.principal, s.msgID, s.hash, s.body = string(fields[0]), string(fields[1]), fields[2], rest
	return s, nil
}

// setResult stores a result in the slot; one of more than bytesMax without what
// makes it large.
func (s *slot) setResult(res *Result, bytesMax int) error {
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
	if s.outcome != outcomeError && proto.Size(msg) > bytesMax {
		msg, s.omitted = withoutResults(msg), true
	}
	var err error
	s.body, err = proto.Marshal(msg)
	return err
}

// result is the inverse of setResult, for a repeated command.
func (s *slot) result() (Result, error) {
	res := Result{Revision: s.revision, Duplicate: true, Omitted: s.omitted}
	switch s.outcome {
	case outcomePut:
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
