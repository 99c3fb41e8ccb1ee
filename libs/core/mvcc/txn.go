package mvcc

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// operator runs the operations of a transaction: a batch, or a reader for
// transactions that write nothing.
type operator interface {
	getRange(*kvpb.RangeRequest) (*kvpb.RangeResponse, error)
	put(*kvpb.PutRequest) (*kvpb.PutResponse, error)
	deleteRange(*kvpb.DeleteRangeRequest) (*kvpb.DeleteRangeResponse, error)
	// currentRevision is the store's, the transaction's own included once it
	// has written something.
	currentRevision() int64
}

// runTxn runs the branches that path tells and uses it up.
func runTxn(o operator, r *kvpb.TxnRequest, path *[]bool) (*kvpb.TxnResponse, error) {
	resp := &kvpb.TxnResponse{Succeeded: (*path)[0]}
	*path = (*path)[1:]
	ops := branch(r, resp.Succeeded)
	resp.Responses = make([]*kvpb.ResponseOp, 0, len(ops))
	for _, op := range ops {
		one, err := runOp(o, op, path)
		if err != nil {
			return nil, err
		}
		resp.Responses = append(resp.Responses, one)
	}
	resp.Revision = o.currentRevision()
	return resp, nil
}

func runOp(o operator, op *kvpb.RequestOp, path *[]bool) (*kvpb.ResponseOp, error) {
	switch op := op.Request.(type) {
	case *kvpb.RequestOp_Range:
		resp, err := o.getRange(op.Range)
		return &kvpb.ResponseOp{Response: &kvpb.ResponseOp_Range{Range: resp}}, err
	case *kvpb.RequestOp_Put:
		resp, err := o.put(op.Put)
		return &kvpb.ResponseOp{Response: &kvpb.ResponseOp_Put{Put: resp}}, err
	case *kvpb.RequestOp_DeleteRange:
		resp, err := o.deleteRange(op.DeleteRange)
		return &kvpb.ResponseOp{Response: &kvpb.ResponseOp_DeleteRange{DeleteRange: resp}}, err
	case *kvpb.RequestOp_Txn:
		resp, err := runTxn(o, op.Txn, path)
		return &kvpb.ResponseOp{Response: &kvpb.ResponseOp_Txn{Txn: resp}}, err
	}
	return nil, errNoOperation
}

var errNoOperation = api.Errorf(api.KindBadRequest, "an operation of the transaction is empty: give one of range, put, delete_range, txn")

// ReadOnly tells whether no branch of a transaction, nested ones included, can
// write. Such a transaction needs no log entry.
func ReadOnly(r *kvpb.TxnRequest) bool {
	for _, ops := range [2][]*kvpb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			switch op := op.GetRequest().(type) {
			case *kvpb.RequestOp_Put, *kvpb.RequestOp_DeleteRange:
				return false
			case *kvpb.RequestOp_Txn:
				if !ReadOnly(op.Txn) {
					return false
				}
			}
		}
	}
	return true
}
