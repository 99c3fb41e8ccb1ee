package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// request draws what a client asks next.
func (c *kvClient) request() proto.Message {
	switch n := c.w.rng.IntN(100); {
	case n < 25:
		return c.put()
	case n < 32:
		return c.deletion()
	case n < 42:
		return c.exchange()
	case n < 55:
		return c.txn()
	case n < 56 && c.revision > 20:
		return &kvpb.CompactRequest{Revision: c.revision - c.w.rng.Int64N(50)}
	}
	return c.read()
}

// key is one of a few that all want, or one of many.
func (c *kvClient) key() []byte {
	if c.w.chance(65) {
		return fmt.Appendf(nil, kvDir+"hot/%d", c.w.rng.IntN(4))
	}
	return fmt.Appendf(nil, kvDir+"many/%02d", c.w.rng.IntN(40))
}

// span is a key, or a range of keys.
func (c *kvClient) span() (key, end []byte) {
	switch c.w.rng.IntN(8) {
	case 0, 1:
		return []byte(kvDir + "hot/"), []byte(kvDir + "hot0")
	case 2:
		return fmt.Appendf(nil, kvDir+"many/%02d", c.w.rng.IntN(40)), []byte(kvDir + "many/30")
	case 3:
		return []byte(kvDir), []byte{0}
	}
	return c.key(), nil
}

// value never comes again.
func (c *kvClient) value() []byte {
	c.kv.values++
	return fmt.Appendf(nil, "%d-%d", c.number, c.kv.values)
}

func (c *kvClient) put() *kvpb.PutRequest {
	q := &kvpb.PutRequest{Key: c.key(), Value: c.value(), PrevKv: c.w.chance(40)}
	switch n := c.w.rng.IntN(40); {
	case n == 0:
		q.Value, q.IgnoreValue = nil, true
	case n == 1:
		q.IgnoreLease = true
	case n == 2:
		q.Lease = 1 << 40 // which does not exist
	case n < 6:
		q.TtlMillis = c.w.between(100, 2000) / ms
	case n == 6:
		q.Value = fmt.Appendf(q.Value, "%0*d", c.w.rng.IntN(2000), 0)
	}
	return q
}

func (c *kvClient) deletion() *kvpb.DeleteRangeRequest {
	q := &kvpb.DeleteRangeRequest{Key: c.key(), PrevKv: c.w.chance(50)}
	if c.w.chance(20) {
		q.Key, q.RangeEnd = []byte(kvDir+"many/10"), []byte(kvDir+"many/20")
	}
	return q
}

// exchange changes a key only if it is still as the client saw it.
func (c *kvClient) exchange() *kvpb.TxnRequest {
	put := c.put()
	put.IgnoreValue, put.IgnoreLease, put.Lease = false, false, 0
	if put.Value == nil {
		put.Value = c.value()
	}
	seen := c.seen[string(put.Key)]
	compare := &kvpb.Compare{Target: kvpb.Compare_MOD, Key: put.Key, Number: seen.GetModRevision()}
	switch c.w.rng.IntN(4) {
	case 0:
		compare.Target, compare.Number = kvpb.Compare_VERSION, seen.GetVersion()
	case 1:
		compare.Target, compare.Number, compare.Value = kvpb.Compare_VALUE, 0, seen.GetValue()
	}
	return &kvpb.TxnRequest{Compare: []*kvpb.Compare{compare}, Success: []*kvpb.RequestOp{opPut(put)},
		Failure: []*kvpb.RequestOp{opRange(&kvpb.RangeRequest{Key: put.Key})}}
}

func opPut(q *kvpb.PutRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: q}}
}

func opRange(q *kvpb.RangeRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: q}}
}

// txn reads, writes and deletes several keys at once.
func (c *kvClient) txn() *kvpb.TxnRequest {
	for {
		q := c.anyTxn(1)
		// A key may be written once only.
		if mvcc.Check(&command.Command{Op: &command.Command_Txn{Txn: q}}) == nil {
			return q
		}
	}
}

func (c *kvClient) anyTxn(depth int) *kvpb.TxnRequest {
	q := &kvpb.TxnRequest{}
	for range c.w.rng.IntN(3) {
		compare := &kvpb.Compare{Result: kvpb.Compare_Result(c.w.rng.IntN(4)), Target: kvpb.Compare_Target(c.w.rng.IntN(3))}
		compare.Key, compare.RangeEnd = c.span()
		if compare.Number = c.w.rng.Int64N(4); compare.Target != kvpb.Compare_VERSION {
			compare.Number = max(0, c.revision-c.w.rng.Int64N(20))
		}
		q.Compare = append(q.Compare, compare)
	}
	for range 1 + c.w.rng.IntN(4) {
		q.Success = append(q.Success, c.operation(depth))
	}
	for range c.w.rng.IntN(3) {
		q.Failure = append(q.Failure, c.operation(depth))
	}
	return q
}

func (c *kvClient) operation(depth int) *kvpb.RequestOp {
	switch n := c.w.rng.IntN(10); {
	case n < 5:
		return opPut(c.put())
	case n < 6:
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: c.deletion()}}
	case n < 7 && depth > 0:
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: c.anyTxn(depth - 1)}}
	}
	q := c.read()
	q.Serializable, q.MinRevision, q.MaxBytes = false, 0, 0
	return opRange(q)
}

func (c *kvClient) read() *kvpb.RangeRequest {
	q := &kvpb.RangeRequest{}
	q.Key, q.RangeEnd = c.span()
	if q.RangeEnd != nil {
		switch c.w.rng.IntN(8) {
		case 0:
			q.Limit = 1 + c.w.rng.Int64N(5)
		case 1:
			q.KeysOnly = true
		case 2:
			q.CountOnly = true
		case 3:
			q.SortOrder, q.SortTarget = kvpb.RangeRequest_SortOrder(c.w.rng.IntN(3)), kvpb.RangeRequest_SortTarget(c.w.rng.IntN(5))
		case 4:
			q.MinModRevision, q.MaxCreateRevision = max(0, c.revision-20), max(1, c.revision-5)
		case 5:
			q.MaxBytes = 100
		}
	}
	switch n := c.w.rng.IntN(20); {
	case n < 3:
		q.Serializable = true
	case n < 4:
		q.Serializable, q.MinRevision = true, c.revision
	case n < 6 && c.revision > 1:
		q.Revision = max(1, c.revision+2-c.w.rng.Int64N(60))
		q.Serializable = c.w.chance(30)
	}
	return q
}
