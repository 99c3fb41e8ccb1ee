package client

import (
	"context"

	"github.com/kvorum/kvorum/libs/api"
)

// putByTxn is a put whose key does not fit on a subject or whose answer has more
// than a value.
func (c *Client) putByTxn(ctx context.Context, key string, value []byte, o writeOptions) (*PutResult, error) {
	cond, id := o.ifRevision, o.msgID
	o.ifRevision, o.msgID = nil, ""
	res, err := c.conditional(key, cond, putOp(key, value, o), id).Commit(ctx)
	switch {
	case err != nil:
		return nil, err
	case !res.Succeeded:
		return nil, compareFailed(key, *cond, res)
	case len(res.Results) == 0 || res.Results[0].Put == nil:
		return &PutResult{Revision: res.Revision, KV: KeyValue{Key: key}, Omitted: true}, nil
	}
	put := res.Results[0].Put
	put.Revision, put.KV.Key, put.KV.Value = res.Revision, key, nil
	return put, nil
}

// deleteByTxn is the same for a delete.
func (c *Client) deleteByTxn(ctx context.Context, key string, o writeOptions) (*DeleteResult, error) {
	cond, id := o.ifRevision, o.msgID
	o.ifRevision, o.msgID = nil, ""
	res, err := c.conditional(key, cond, deleteOp(Key(key), o), id).Commit(ctx)
	switch {
	case err != nil:
		return nil, err
	case !res.Succeeded:
		return nil, compareFailed(key, *cond, res)
	case len(res.Results) == 0 || res.Results[0].Delete == nil:
		return &DeleteResult{Revision: res.Revision, Omitted: true}, nil
	}
	del := res.Results[0].Delete
	del.Revision = res.Revision
	return del, nil
}

func (c *Client) conditional(key string, cond *int64, op Op, msgID string) *Txn {
	t := c.Txn().Then(op)
	if cond != nil {
		t.If(ModRevision(key).Equal(*cond)).Else(Get(key, KeysOnly()))
	}
	return t.MsgID(msgID)
}

// compareFailed is the error that a put or delete by subject would have had.
func compareFailed(key string, want int64, res *TxnResult) error {
	e := api.Errorf(api.KindCompareFailed, "the mod revision of %q is not %d: read it again and decide anew", key, want)
	e.Revision = res.Revision
	if len(res.Results) > 0 && res.Results[0].Range != nil && len(res.Results[0].Range.KVs) > 0 {
		e.ModRevision = res.Results[0].Range.KVs[0].ModRevision
	}
	return e
}
