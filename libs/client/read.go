package client

import (
	"context"
	"iter"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// ReadOption says how to read. Those that choose among keys are for Range and
// List and change nothing in Get.
type ReadOption func(*kvpb.RangeRequest)

// AtRevision reads as of a revision that is not compacted.
func AtRevision(n int64) ReadOption { return func(r *kvpb.RangeRequest) { r.Revision = n } }

// Serializable lets any node answer at once from what it has, which may be
// behind the newest acknowledged write.
func Serializable() ReadOption { return func(r *kvpb.RangeRequest) { r.Serializable = true } }

// MinRevision is a serializable read from a node that has at least revision n:
// with the revision of your last write, you read it from any node.
func MinRevision(n int64) ReadOption {
	return func(r *kvpb.RangeRequest) { r.Serializable, r.MinRevision = true, n }
}

// Limit gives at most n keys; for List, n keys a page.
func Limit(n int64) ReadOption { return func(r *kvpb.RangeRequest) { r.Limit = n } }

// KeysOnly leaves the values out.
func KeysOnly() ReadOption { return func(r *kvpb.RangeRequest) { r.KeysOnly = true } }

// CountOnly gives the number of keys and no keys.
func CountOnly() ReadOption { return func(r *kvpb.RangeRequest) { r.CountOnly = true } }

// SortBy orders the answer of Range by something else than ascending keys. List
// refuses it.
func SortBy(target kvpb.RangeRequest_SortTarget, order kvpb.RangeRequest_SortOrder) ReadOption {
	return func(r *kvpb.RangeRequest) { r.SortTarget, r.SortOrder = target, order }
}

// ModifiedBetween gives only keys whose ModRevision is in [first, last]; 0 is no
// bound.
func ModifiedBetween(first, last int64) ReadOption {
	return func(r *kvpb.RangeRequest) { r.MinModRevision, r.MaxModRevision = first, last }
}

// CreatedBetween gives only keys whose CreateRevision is in [first, last]; 0 is
// no bound.
func CreatedBetween(first, last int64) ReadOption {
	return func(r *kvpb.RangeRequest) { r.MinCreateRevision, r.MaxCreateRevision = first, last }
}

func rangeRequest(s Span, opts []ReadOption) *kvpb.RangeRequest {
	r := &kvpb.RangeRequest{Key: s.key, RangeEnd: s.end}
	for _, o := range opts {
		o(r)
	}
	return r
}

// Get reads a key. ErrNotFound where it does not exist.
func (c *Client) Get(ctx context.Context, key string, opts ...ReadOption) (KeyValue, error) {
	s := Key(key)
	if err := s.check(); err != nil {
		return KeyValue{}, err
	}
	req := rangeRequest(s, opts)
	tokens, err := subject.Encode(s.key)
	if err != nil {
		return c.getByRange(ctx, req)
	}
	h := nats.Header{}
	if req.Revision != 0 {
		h[api.HeaderAtRevision] = decimal(req.Revision)
	}
	if req.Serializable {
		h.Set(api.HeaderConsistency, api.ConsistencySerializable)
	}
	if req.MinRevision != 0 {
		h[api.HeaderMinRevision] = decimal(req.MinRevision)
	}
	msg, err := c.do(ctx, request{subject: api.SubjectGet + tokens, header: h})
	if err != nil {
		return KeyValue{}, err
	}
	r := reply{header: msg.Header}
	kv := r.keyValue(key, msg.Data)
	return kv, r.err
}

// getByRange reads a key that does not fit on a subject.
func (c *Client) getByRange(ctx context.Context, req *kvpb.RangeRequest) (KeyValue, error) {
	var resp kvpb.RangeResponse
	if err := c.Call(ctx, api.SubjectRange, req, &resp); err != nil {
		return KeyValue{}, err
	}
	if len(resp.GetKvs()) == 0 {
		return KeyValue{}, &api.Error{Kind: api.KindNotFound, Message: "the key does not exist", Revision: resp.GetRevision()}
	}
	return keyValueOf(resp.GetKvs()[0]), nil
}

// RangeResult is a page of keys.
type RangeResult struct {
	Revision int64 // the store's
	KVs      []KeyValue
	More     bool  // keys follow that did not fit in the answer or in Limit
	Count    int64 // keys in the span, whatever limit and filters
}

func rangeResultOf(r *kvpb.RangeResponse) *RangeResult {
	return &RangeResult{Revision: r.GetRevision(), KVs: keyValuesOf(r.GetKvs()), More: r.GetMore(), Count: r.GetCount()}
}

// Range reads the keys of a span, as many as fit in one answer
// (api.MaxAnswerBytes); List reads all.
func (c *Client) Range(ctx context.Context, s Span, opts ...ReadOption) (*RangeResult, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var resp kvpb.RangeResponse
	if err := c.Call(ctx, api.SubjectRange, rangeRequest(s, opts), &resp); err != nil {
		return nil, err
	}
	return rangeResultOf(&resp), nil
}

// List iterates over the keys of a span in order, a page at a time, all as of
// one revision: that of AtRevision, or the newest when the iteration begins. It
// ends after the first error; ErrCompacted if it takes so long that the revision
// is gone.
func (c *Client) List(ctx context.Context, s Span, opts ...ReadOption) iter.Seq2[KeyValue, error] {
	return func(yield func(KeyValue, error) bool) {
		req := rangeRequest(s, opts)
		if req.SortOrder != kvpb.RangeRequest_NONE || req.SortTarget != kvpb.RangeRequest_KEY || req.CountOnly {
			yield(KeyValue{}, api.Errorf(api.KindBadRequest, "List goes by ascending keys: use Range for other orders and for counts"))
			return
		}
		if err := s.check(); err != nil {
			yield(KeyValue{}, err)
			return
		}
		for {
			var page kvpb.RangeResponse
			if err := c.Call(ctx, api.SubjectRange, req, &page); err != nil {
				yield(KeyValue{}, err)
				return
			}
			for _, kv := range page.GetKvs() {
				if !yield(keyValueOf(kv), nil) {
					return
				}
			}
			if !page.GetMore() || len(page.GetKvs()) == 0 {
				return
			}
			req = nextPage(req, &page)
		}
	}
}

// nextPage asks for what follows a page, as of the same revision.
func nextPage(req *kvpb.RangeRequest, page *kvpb.RangeResponse) *kvpb.RangeRequest {
	next := proto.CloneOf(req)
	last := page.GetKvs()[len(page.GetKvs())-1].GetKey()
	next.Key = append(append(make([]byte, 0, len(last)+1), last...), 0)
	if next.Revision == 0 {
		next.Revision = page.GetRevision()
	}
	return next
}
