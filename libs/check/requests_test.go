package check

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func (r *recorder) key() []byte {
	if r.rng.IntN(3) > 0 {
		return fmt.Appendf(nil, "/k/%d", r.rng.IntN(4))
	}
	return fmt.Appendf(nil, "/many/%02d", r.rng.IntN(40))
}

// span is a key or a range.
func (r *recorder) span() (key, end []byte) {
	switch key = r.key(); r.rng.IntN(6) {
	case 0:
		return []byte("/k/"), []byte("/k0")
	case 1:
		return key, []byte("/many/20")
	case 2:
		return key, []byte{0}
	}
	return key, nil
}

func (r *recorder) value() []byte { return fmt.Appendf(nil, "v%d-%d", r.count, r.rng.Uint32()) }

func (r *recorder) request() proto.Message {
	switch n := r.rng.IntN(100); {
	case n < 30:
		return r.put()
	case n < 40:
		return r.deletion()
	case n < 60:
		return r.txn(2)
	case n < 62:
		return &kvpb.CompactRequest{Revision: r.revision() - r.rng.Int64N(40)}
	case n < 63:
		return &kvpb.LeaseRevokeRequest{Id: 1 + r.rng.Int64N(3)}
	}
	return r.read()
}

func (r *recorder) revision() int64 { return r.machine.Published().Revision }

func (r *recorder) put() *kvpb.PutRequest {
	q := &kvpb.PutRequest{Key: r.key(), Value: r.value(), PrevKv: r.rng.IntN(3) == 0}
	switch r.rng.IntN(10) {
	case 0:
		q.IgnoreValue, q.Value = true, nil
	case 1:
		q.IgnoreLease = true
	case 2:
		q.Lease = 1 + r.rng.Int64N(3)
	case 3:
		q.TtlMillis = 1000
	}
	return q
}

func (r *recorder) deletion() *kvpb.DeleteRangeRequest {
	q := &kvpb.DeleteRangeRequest{Key: r.key(), PrevKv: r.rng.IntN(2) == 0}
	if r.rng.IntN(3) == 0 {
		q.Key, q.RangeEnd = []byte("/many/10"), []byte("/many/20")
	}
	return q
}

func (r *recorder) read() *kvpb.RangeRequest {
	q := &kvpb.RangeRequest{}
	q.Key, q.RangeEnd = r.span()
	switch r.rng.IntN(8) {
	case 0:
		q.Limit = 1 + r.rng.Int64N(3)
	case 1:
		q.KeysOnly = true
	case 2:
		q.CountOnly = true
	case 3:
		q.SortOrder, q.SortTarget = kvpb.RangeRequest_SortOrder(r.rng.IntN(3)), kvpb.RangeRequest_SortTarget(r.rng.IntN(5))
	case 4:
		q.MinModRevision, q.MaxCreateRevision = r.revision()-20, r.revision()-5
	case 5:
		q.MaxBytes = 100
	}
	switch r.rng.IntN(6) {
	case 0:
		q.Serializable = true
	case 1:
		q.Revision = max(1, r.revision()+2-r.rng.Int64N(60))
	}
	return q
}

func (r *recorder) txn(depth int) *kvpb.TxnRequest {
	q := &kvpb.TxnRequest{}
	for range r.rng.IntN(3) {
		c := &kvpb.Compare{Result: kvpb.Compare_Result(r.rng.IntN(4)), Target: kvpb.Compare_Target(r.rng.IntN(5)), Number: r.rng.Int64N(3)}
		c.Key, c.RangeEnd = r.span()
		switch c.Target {
		case kvpb.Compare_VALUE:
			c.Value, c.Number = []byte("v5"), 0
		case kvpb.Compare_MOD, kvpb.Compare_CREATE:
			c.Number = r.revision() - r.rng.Int64N(10)
		}
		q.Compare = append(q.Compare, c)
	}
	for range r.rng.IntN(4) {
		q.Success = append(q.Success, r.operation(depth))
	}
	for range r.rng.IntN(3) {
		q.Failure = append(q.Failure, r.operation(depth))
	}
	return q
}

func (r *recorder) operation(depth int) *kvpb.RequestOp {
	switch n := r.rng.IntN(8); {
	case n < 3:
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: r.put()}}
	case n < 4:
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: r.deletion()}}
	case n < 5 && depth > 0:
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: r.txn(depth - 1)}}
	}
	q := r.read()
	q.Serializable, q.MaxBytes = false, 0
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: q}}
}
