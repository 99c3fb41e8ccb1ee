package check

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// run is one request carried out on the store as of a revision, by the letter
// of the documentation and with no regard to cost.
type run struct {
	t      *timeline
	before int64                     // the revision it finds
	now    map[string]*kvpb.KeyValue // what it changed; nil for a key deleted
	events []*kvpb.Event             // what it does
	oldest int64                     // the oldest revision that it read by number, 0 for none
}

// do carries a request out. An error says why the store would have refused.
func (t *timeline) do(op *Op, before int64) (*run, proto.Message, error) {
	r := &run{t: t, before: before}
	if op.IfRevision != nil {
		if is := r.get(string(op.key())).GetModRevision(); is != *op.IfRevision {
			return r, nil, fmt.Errorf("the key's mod revision is %d, not %d", is, *op.IfRevision)
		}
	}
	switch q := op.Request.(type) {
	case *kvpb.RangeRequest:
		resp, err := r.rangeOf(q)
		return r, resp, err
	case *kvpb.PutRequest:
		resp, err := r.put(q)
		return r, resp, err
	case *kvpb.DeleteRangeRequest:
		resp := r.deleteRange(q)
		return r, resp, nil
	case *kvpb.TxnRequest:
		resp, err := r.txn(q, r.outcomes(q))
		return r, resp, err
	case *kvpb.CompactRequest:
		if q.Revision > before {
			return r, nil, fmt.Errorf("revision %d is in the future", q.Revision)
		}
		return r, &kvpb.CompactResponse{Revision: before, Compacted: q.Revision}, nil
	case *kvpb.LeaseRevokeRequest:
		return r, r.revoke(q), nil
	}
	return nil, nil, fmt.Errorf("no request of a history: %T", op.Request)
}

// key is what a put, or a delete of one key, changes.
func (op *Op) key() []byte {
	if q, ok := op.Request.(*kvpb.PutRequest); ok {
		return q.GetKey()
	}
	q, _ := op.Request.(*kvpb.DeleteRangeRequest)
	return q.GetKey()
}

// revision is the store's, as of now.
func (r *run) revision() int64 {
	if len(r.events) > 0 {
		return r.before + 1
	}
	return r.before
}

func (r *run) get(key string) *kvpb.KeyValue {
	if kv, ok := r.now[key]; ok {
		return kv
	}
	return r.t.get(key, r.before)
}

// list is a range in key order, with the request's own changes.
func (r *run) list(key, end []byte) []*kvpb.KeyValue {
	var kvs []*kvpb.KeyValue
	r.t.each(string(key), string(end), r.before, func(k string, kv *kvpb.KeyValue) {
		if _, ok := r.now[k]; !ok {
			kvs = append(kvs, kv)
		}
	})
	own := false
	for k, kv := range r.now {
		if kv != nil && within(k, string(key), string(end)) {
			kvs, own = append(kvs, kv), true
		}
	}
	if own {
		slices.SortFunc(kvs, func(a, b *kvpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	}
	return kvs
}

func (r *run) set(key []byte, kv *kvpb.KeyValue, ev *kvpb.Event) {
	if r.now == nil {
		r.now = map[string]*kvpb.KeyValue{}
	}
	r.now[string(key)] = kv
	ev.Sub = int64(len(r.events))
	r.events = append(r.events, ev)
}

func (r *run) put(q *kvpb.PutRequest) (*kvpb.PutResponse, error) {
	old := r.get(string(q.Key))
	rev := r.before + 1
	kv := &kvpb.KeyValue{Key: q.Key, Value: q.Value, CreateRevision: rev, ModRevision: rev, Version: 1, Lease: q.Lease, TtlMillis: q.TtlMillis}
	switch {
	case old != nil:
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	case q.IgnoreValue || q.IgnoreLease:
		return nil, fmt.Errorf("key %q does not exist", q.Key)
	}
	if q.IgnoreValue {
		kv.Value = old.Value
	}
	if q.IgnoreLease {
		kv.Lease, kv.TtlMillis = old.Lease, old.TtlMillis
	}
	r.set(q.Key, kv, &kvpb.Event{Kv: kv})
	resp := &kvpb.PutResponse{Revision: rev, Kv: kv}
	if q.PrevKv {
		resp.PrevKv = old
	}
	return resp, nil
}

func (r *run) remove(kv *kvpb.KeyValue) {
	r.set(kv.Key, nil, &kvpb.Event{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: kv.Key, ModRevision: r.before + 1}})
}

func (r *run) deleteRange(q *kvpb.DeleteRangeRequest) *kvpb.DeleteRangeResponse {
	kvs := r.list(q.Key, q.RangeEnd)
	for _, kv := range kvs {
		r.remove(kv)
	}
	resp := &kvpb.DeleteRangeResponse{Revision: r.revision(), Deleted: int64(len(kvs))}
	if q.PrevKv {
		resp.PrevKvs = kvs
	}
	return resp
}

func (r *run) revoke(q *kvpb.LeaseRevokeRequest) *kvpb.LeaseRevokeResponse {
	resp := &kvpb.LeaseRevokeResponse{}
	r.t.each("", "\x00", r.before, func(_ string, kv *kvpb.KeyValue) {
		if kv.Lease == q.Id {
			r.remove(kv)
			resp.Deleted++
		}
	})
	resp.Revision = r.revision()
	return resp
}

// outcomes decides all compares before anything is written.
func (r *run) outcomes(q *kvpb.TxnRequest) map[*kvpb.TxnRequest]bool {
	found := map[*kvpb.TxnRequest]bool{q: true}
	for _, c := range q.Compare {
		found[q] = found[q] && r.holds(c)
	}
	for _, ops := range [][]*kvpb.RequestOp{q.Success, q.Failure} {
		for _, op := range ops {
			if nested := op.GetTxn(); nested != nil {
				for k, v := range r.outcomes(nested) {
					found[k] = v
				}
			}
		}
	}
	return found
}

func (r *run) holds(c *kvpb.Compare) bool {
	if c.Target == kvpb.Compare_LOCK {
		return is(c.Result, cmp.Compare(r.fence(c.Key), c.Number))
	}
	kvs := r.list(c.Key, c.RangeEnd)
	if len(kvs) == 0 {
		kvs = append(kvs, nil) // it has zeroes
	}
	for _, kv := range kvs {
		order := 0
		switch c.Target {
		case kvpb.Compare_VERSION:
			order = cmp.Compare(kv.GetVersion(), c.Number)
		case kvpb.Compare_CREATE:
			order = cmp.Compare(kv.GetCreateRevision(), c.Number)
		case kvpb.Compare_MOD:
			order = cmp.Compare(kv.GetModRevision(), c.Number)
		case kvpb.Compare_LEASE:
			order = cmp.Compare(kv.GetLease(), c.Number)
		case kvpb.Compare_VALUE:
			if kv == nil {
				return false
			}
			order = bytes.Compare(kv.Value, c.Value)
		}
		if !is(c.Result, order) {
			return false
		}
	}
	return true
}

func is(want kvpb.Compare_Result, order int) bool {
	switch want {
	case kvpb.Compare_EQUAL:
		return order == 0
	case kvpb.Compare_NOT_EQUAL:
		return order != 0
	case kvpb.Compare_LESS:
		return order < 0
	}
	return order > 0
}

// fence is the lowest create revision of the contenders for a name: keys
// NAME/LEASE, with the lease's 16 hex digits, attached to that lease.
func (r *run) fence(name []byte) (fence int64) {
	prefix := string(name) + "/"
	for _, kv := range r.list([]byte(prefix), []byte(string(name)+"0")) {
		digits := hex.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(kv.Lease)))
		if kv.Lease != 0 && string(kv.Key) == prefix+digits && (fence == 0 || kv.CreateRevision < fence) {
			fence = kv.CreateRevision
		}
	}
	return fence
}

func (r *run) txn(q *kvpb.TxnRequest, outcomes map[*kvpb.TxnRequest]bool) (*kvpb.TxnResponse, error) {
	resp := &kvpb.TxnResponse{Succeeded: outcomes[q]}
	ops := q.Failure
	if resp.Succeeded {
		ops = q.Success
	}
	for _, op := range ops {
		one := &kvpb.ResponseOp{}
		switch op := op.Request.(type) {
		case *kvpb.RequestOp_Range:
			page, err := r.rangeOf(op.Range)
			if err != nil {
				return nil, err
			}
			one.Response = &kvpb.ResponseOp_Range{Range: page}
		case *kvpb.RequestOp_Put:
			put, err := r.put(op.Put)
			if err != nil {
				return nil, err
			}
			one.Response = &kvpb.ResponseOp_Put{Put: put}
		case *kvpb.RequestOp_DeleteRange:
			one.Response = &kvpb.ResponseOp_DeleteRange{DeleteRange: r.deleteRange(op.DeleteRange)}
		case *kvpb.RequestOp_Txn:
			nested, err := r.txn(op.Txn, outcomes)
			if err != nil {
				return nil, err
			}
			one.Response = &kvpb.ResponseOp_Txn{Txn: nested}
		}
		resp.Responses = append(resp.Responses, one)
	}
	resp.Revision = r.revision()
	return resp, nil
}
