package client

import (
	"context"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Op is an operation of a transaction.
type Op struct {
	request *kvpb.RequestOp
	err     error
}

// Put writes a key. IfRevision and MsgID belong to a transaction, not to its
// operations, and fail it.
func Put(key string, value []byte, opts ...WriteOption) Op {
	return putOp(key, value, writeOptionsOf(opts))
}

func putOp(key string, value []byte, o writeOptions) Op {
	req := &kvpb.PutRequest{Key: []byte(key), Value: value, Lease: o.lease, PrevKv: o.prev, TtlMillis: o.ttl.Milliseconds()}
	err := o.checkInTxn(Key(key))
	if err == nil {
		err = checkMillis("WithTTL", o.ttl)
	}
	return Op{request: &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: req}}, err: err}
}

// Delete removes a key.
func Delete(key string, opts ...WriteOption) Op { return deleteOp(Key(key), writeOptionsOf(opts)) }

// DeleteRange removes the keys of a span.
func DeleteRange(s Span, opts ...WriteOption) Op { return deleteOp(s, writeOptionsOf(opts)) }

func deleteOp(s Span, o writeOptions) Op {
	req := &kvpb.DeleteRangeRequest{Key: s.key, RangeEnd: s.end, PrevKv: o.prev}
	return Op{request: &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: req}}, err: o.checkInTxn(s)}
}

// Get reads a key; its result is a Range with one key or none.
func Get(key string, opts ...ReadOption) Op { return Range(Key(key), opts...) }

// Range reads the keys of a span.
func Range(s Span, opts ...ReadOption) Op {
	req := rangeRequest(s, opts)
	return Op{request: &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: req}}, err: s.check()}
}

func (o writeOptions) checkInTxn(s Span) error {
	if o.ifRevision != nil || o.msgID != "" {
		return api.Errorf(api.KindBadRequest, "IfRevision and MsgID are not for single operations: use the transaction's If and MsgID")
	}
	return s.check()
}

// Txn builds a transaction: if all comparisons hold, the operations of Then are
// done, else those of Else, in one revision. Its methods add to it and return
// it; a mistake is kept for Commit.
type Txn struct {
	c     *Client
	msgID string
	req   kvpb.TxnRequest
	err   error
}

// Txn begins a transaction. Nothing is sent before Commit.
func (c *Client) Txn() *Txn { return &Txn{c: c} }

// If adds comparisons, of which all must hold. Without any, Then is done.
func (t *Txn) If(compares ...Compare) *Txn {
	for _, c := range compares {
		t.req.Compare = append(t.req.Compare, c.compare)
	}
	return t
}

// Then adds operations for when the comparisons hold.
func (t *Txn) Then(ops ...Op) *Txn {
	t.req.Success = t.add(t.req.Success, ops)
	return t
}

// Else adds operations for when a comparison does not hold.
func (t *Txn) Else(ops ...Op) *Txn {
	t.req.Failure = t.add(t.req.Failure, ops)
	return t
}

// MsgID is the option MsgID, for the transaction.
func (t *Txn) MsgID(id string) *Txn {
	t.msgID = id
	return t
}

// Op is the transaction as an operation of another one. Its comparisons are
// made before the outer one writes anything.
func (t *Txn) Op() Op {
	op := Op{request: &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: &t.req}}, err: t.err}
	if op.err == nil && t.msgID != "" {
		op.err = api.Errorf(api.KindBadRequest, "MsgID is for the outermost transaction")
	}
	return op
}

func (t *Txn) add(list []*kvpb.RequestOp, ops []Op) []*kvpb.RequestOp {
	for _, op := range ops {
		if t.err == nil {
			t.err = op.err
		}
		list = append(list, op.request)
	}
	return list
}

// Commit does the transaction. Comparisons that do not hold are no error.
func (t *Txn) Commit(ctx context.Context) (*TxnResult, error) {
	if t.err != nil {
		return nil, t.err
	}
	var resp kvpb.TxnResponse
	h, err := t.c.call(ctx, api.SubjectTxn, t.msgID, &t.req, &resp)
	if err != nil {
		return nil, err
	}
	r := reply{header: h}
	res := txnResultOf(&resp)
	ops := t.req.Failure
	if res.Succeeded {
		ops = t.req.Success
	}
	res.Omitted = res.Omitted || r.duplicate() && len(res.Results) < len(ops)
	return res, nil
}

// TxnResult is what a transaction did.
type TxnResult struct {
	Revision  int64 // the store's after it
	Succeeded bool  // the comparisons held
	// Results has one element for each operation that was done, in order.
	Results []Result
	// Omitted: it took effect, but Results is empty because it would have been
	// too large, or because an earlier attempt did it and they were not kept.
	Omitted bool
}

// Result is the result of one operation: the field of its kind is set.
type Result struct {
	Range  *RangeResult
	Put    *PutResult
	Delete *DeleteResult
	Txn    *TxnResult
}

func txnResultOf(r *kvpb.TxnResponse) *TxnResult {
	res := &TxnResult{Revision: r.GetRevision(), Succeeded: r.GetSucceeded(), Omitted: r.GetResultsOmitted()}
	for _, op := range r.GetResponses() {
		var one Result
		switch op := op.GetResponse().(type) {
		case *kvpb.ResponseOp_Range:
			one.Range = rangeResultOf(op.Range)
		case *kvpb.ResponseOp_Put:
			one.Put = putResultOf(op.Put)
		case *kvpb.ResponseOp_DeleteRange:
			one.Delete = deleteResultOf(op.DeleteRange)
		case *kvpb.ResponseOp_Txn:
			one.Txn = txnResultOf(op.Txn)
		}
		res.Results = append(res.Results, one)
	}
	return res
}
