package client

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// WriteOption says how to write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	prev       bool
	ifRevision *int64
	lease      int64
	ttl        time.Duration
	msgID      string
}

// WithPrev asks for the state before.
func WithPrev() WriteOption { return func(o *writeOptions) { o.prev = true } }

// IfRevision writes only if the key's ModRevision is n, or, for 0, if the key
// does not exist; ErrCompareFailed otherwise. In a transaction use If.
func IfRevision(n int64) WriteOption { return func(o *writeOptions) { o.ifRevision = &n } }

// WithLease attaches a put key to a lease.
func WithLease(id int64) WriteOption { return func(o *writeOptions) { o.lease = id } }

// WithTTL gives a put key a time to live of its own, of whole milliseconds from
// api.MinTTLMillis on: it is deleted that long after its last put, and watchers
// are told that it expired. A later put without WithTTL makes it stay. Not
// together with WithLease; 0 is none.
func WithTTL(d time.Duration) WriteOption { return func(o *writeOptions) { o.ttl = d } }

// MsgID is the id under which the write takes effect once, instead of one that
// the client makes: a program that kept it can repeat the write after a restart.
// The same id with another request is ErrBadRequest. In a transaction use
// Txn.MsgID.
func MsgID(id string) WriteOption { return func(o *writeOptions) { o.msgID = id } }

func writeOptionsOf(opts []WriteOption) writeOptions {
	var o writeOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// PutResult is what a put did.
type PutResult struct {
	Revision int64 // of the put
	// KV is the state after, without the value.
	KV KeyValue
	// Prev is the state before, if WithPrev asked for it and the key existed.
	Prev *KeyValue
	// Omitted: the put took effect under an earlier attempt whose result was
	// not kept, so that Prev is not known.
	Omitted bool
}

// Put writes a key.
func (c *Client) Put(ctx context.Context, key string, value []byte, opts ...WriteOption) (*PutResult, error) {
	o, s := writeOptionsOf(opts), Key(key)
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := checkMillis("WithTTL", o.ttl); err != nil {
		return nil, err
	}
	tokens, err := subject.Encode(s.key)
	if err != nil || o.prev {
		return c.putByTxn(ctx, key, value, o)
	}
	msg, err := c.do(ctx, request{subject: api.SubjectPut + tokens, header: o.header(), body: value, write: true})
	if err != nil {
		return nil, err
	}
	r := reply{header: msg.Header}
	res := &PutResult{Revision: r.number(api.HeaderRevision), KV: r.keyValue(key, nil)}
	return res, r.err
}

// DeleteResult is what a delete did.
type DeleteResult struct {
	Revision int64 // the store's after it
	Deleted  int64 // keys
	Prev     []KeyValue
	Omitted  bool // as in PutResult
}

// Delete removes a key; one that does not exist is no error.
func (c *Client) Delete(ctx context.Context, key string, opts ...WriteOption) (*DeleteResult, error) {
	o, s := writeOptionsOf(opts), Key(key)
	if err := s.check(); err != nil {
		return nil, err
	}
	tokens, err := subject.Encode(s.key)
	if err != nil || o.prev {
		return c.deleteByTxn(ctx, key, o)
	}
	msg, err := c.do(ctx, request{subject: api.SubjectDelete + tokens, header: o.header(), write: true})
	if err != nil {
		return nil, err
	}
	r := reply{header: msg.Header}
	res := &DeleteResult{Revision: r.number(api.HeaderRevision), Deleted: r.number(api.HeaderDeleted)}
	return res, r.err
}

// DeleteRange removes the keys of a span, up to api.MaxDeleteKeys, in one
// revision.
func (c *Client) DeleteRange(ctx context.Context, s Span, opts ...WriteOption) (*DeleteResult, error) {
	o := writeOptionsOf(opts)
	if err := s.check(); err != nil {
		return nil, err
	}
	if o.ifRevision != nil {
		return nil, api.Errorf(api.KindBadRequest, "IfRevision is for one key: use a transaction to compare a span")
	}
	var resp kvpb.DeleteRangeResponse
	req := &kvpb.DeleteRangeRequest{Key: s.key, RangeEnd: s.end, PrevKv: o.prev}
	h, err := c.call(ctx, api.SubjectDeleteRange, o.msgID, req, &resp)
	if err != nil {
		return nil, err
	}
	r := reply{header: h}
	res := deleteResultOf(&resp)
	res.Omitted = r.duplicate() && o.prev && res.Deleted > 0 && len(res.Prev) == 0
	return res, nil
}

func (o writeOptions) header() nats.Header {
	h := nats.Header{}
	if o.ifRevision != nil {
		h[api.HeaderIfRevision] = decimal(*o.ifRevision)
	}
	if o.lease != 0 {
		h.Set(api.HeaderLease, fmt.Sprintf("%016x", uint64(o.lease)))
	}
	if o.ttl != 0 {
		h.Set(api.HeaderTTL, o.ttl.String())
	}
	if o.msgID != "" {
		h.Set(api.HeaderMsgID, o.msgID)
	}
	return h
}

// checkMillis refuses what the wire would have to round.
func checkMillis(what string, d time.Duration) error {
	if d%time.Millisecond != 0 {
		return api.Errorf(api.KindBadRequest, "%s: %v is not in whole milliseconds", what, d)
	}
	return nil
}

func putResultOf(r *kvpb.PutResponse) *PutResult {
	return &PutResult{Revision: r.GetRevision(), KV: keyValueOf(r.GetKv()), Prev: optional(r.GetPrevKv())}
}

func deleteResultOf(r *kvpb.DeleteRangeResponse) *DeleteResult {
	return &DeleteResult{Revision: r.GetRevision(), Deleted: r.GetDeleted(), Prev: keyValuesOf(r.GetPrevKvs())}
}
