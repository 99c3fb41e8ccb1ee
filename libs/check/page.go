package check

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// rangeOf answers a range in full: max_bytes and the server's own limit, which
// may end a page early, are left to the comparison of answers.
func (r *run) rangeOf(q *kvpb.RangeRequest) (*kvpb.RangeResponse, error) {
	from := r
	if q.Revision != 0 {
		if q.Revision > r.before || q.Revision < r.t.start {
			return nil, fmt.Errorf("revision %d is not one of %d to %d", q.Revision, r.t.start, r.before)
		}
		if r.oldest == 0 || q.Revision < r.oldest {
			r.oldest = q.Revision
		}
		from = &run{t: r.t, before: q.Revision}
	}
	all := from.list(q.Key, q.RangeEnd)
	resp := &kvpb.RangeResponse{Revision: r.revision(), Count: int64(len(all))}
	if q.CountOnly {
		return resp, nil
	}
	resp.Kvs = slices.DeleteFunc(all, func(kv *kvpb.KeyValue) bool {
		return kv.ModRevision < q.MinModRevision || q.MaxModRevision > 0 && kv.ModRevision > q.MaxModRevision ||
			kv.CreateRevision < q.MinCreateRevision || q.MaxCreateRevision > 0 && kv.CreateRevision > q.MaxCreateRevision
	})
	sortBy(resp.Kvs, q)
	if q.Limit > 0 && int64(len(resp.Kvs)) > q.Limit {
		resp.Kvs, resp.More = resp.Kvs[:q.Limit], true
	}
	if q.KeysOnly {
		for i, kv := range resp.Kvs {
			resp.Kvs[i] = withoutValue(kv)
		}
	}
	return resp, nil
}

// sortBy orders keys that are in key order; those that are alike keep it.
func sortBy(kvs []*kvpb.KeyValue, q *kvpb.RangeRequest) {
	descend := q.SortOrder == kvpb.RangeRequest_DESCEND
	if q.SortTarget == kvpb.RangeRequest_KEY && !descend {
		return
	}
	slices.SortStableFunc(kvs, func(a, b *kvpb.KeyValue) int {
		if descend {
			a, b = b, a
		}
		switch q.SortTarget {
		case kvpb.RangeRequest_VERSION:
			return cmp.Compare(a.Version, b.Version)
		case kvpb.RangeRequest_CREATE:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case kvpb.RangeRequest_MOD:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		case kvpb.RangeRequest_VALUE:
			return bytes.Compare(a.Value, b.Value)
		}
		return bytes.Compare(a.Key, b.Key)
	})
}

func withoutValue(kv *kvpb.KeyValue) *kvpb.KeyValue {
	return &kvpb.KeyValue{Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
		Version: kv.Version, Lease: kv.Lease, TtlMillis: kv.TtlMillis}
}
