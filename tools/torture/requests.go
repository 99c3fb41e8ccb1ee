//go:build linux

package main

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Keys: few that everybody writes, and many.
const (
	hotKeys   = 6
	groups    = 40
	groupKeys = 8
	allOfThem = "/k/"
	afterThem = "/k0"
)

func (w *kvClient) key() []byte {
	if w.rng.IntN(2) == 0 {
		return hotKey(w.rng.IntN(hotKeys))
	}
	return groupKey(w.rng.IntN(groups), w.rng.IntN(groupKeys))
}

func hotKey(i int) []byte { return fmt.Appendf(nil, "/k/hot/%d", i) }

// groupKey is among the many; some have bytes that are no text.
func groupKey(group, i int) []byte {
	if group%10 == 9 {
		return append(fmt.Appendf(nil, "/k/many/%02d/", group), 0xff, byte(i))
	}
	return fmt.Appendf(nil, "/k/many/%02d/%d", group, i)
}

// group is the range of one group's keys.
func (w *kvClient) group() (key, end []byte) {
	g := w.rng.IntN(groups)
	return fmt.Appendf(nil, "/k/many/%02d/", g), fmt.Appendf(nil, "/k/many/%02d0", g)
}

// request draws the next request.
func (w *kvClient) request() proto.Message {
	switch n := w.rng.IntN(100); {
	case n < 28:
		return &kvpb.PutRequest{Key: w.key(), Value: w.value(0)}
	case n < 40:
		return w.swap()
	case n < 47:
		return w.many()
	case n < 50:
		key, end := w.group()
		return &kvpb.DeleteRangeRequest{Key: key, RangeEnd: end}
	case n < 53:
		return &kvpb.DeleteRangeRequest{Key: w.key()}
	case n < 75:
		return &kvpb.RangeRequest{Key: w.key()}
	case n < 85:
		return w.scan()
	case n < 93:
		return &kvpb.RangeRequest{Key: w.key(), Serializable: true}
	case n < 96:
		r := w.scan()
		r.Serializable = true
		return r
	}
	return &kvpb.RangeRequest{Key: w.key(), Revision: max(w.l.col.start.Revision, w.l.revised.Load()-int64(w.rng.IntN(400)))}
}

// scan reads a range in one of many ways.
func (w *kvClient) scan() *kvpb.RangeRequest {
	r := &kvpb.RangeRequest{}
	r.Key, r.RangeEnd = w.group()
	switch w.rng.IntN(6) {
	case 0:
		r.Key, r.RangeEnd, r.Limit = []byte(allOfThem), []byte(afterThem), int64(1+w.rng.IntN(20))
	case 1:
		r.CountOnly = true
	case 2:
		r.KeysOnly = true
	case 3:
		r.SortTarget, r.SortOrder, r.Limit = kvpb.RangeRequest_MOD, kvpb.RangeRequest_DESCEND, 3
	case 4:
		r.Key, r.RangeEnd = []byte("/k/hot/"), []byte("/k/hot0")
	}
	return r
}

// swap puts a key if it is still as the client saw it last, and reads it else.
func (w *kvClient) swap() *kvpb.TxnRequest {
	key := hotKey(w.rng.IntN(hotKeys))
	return &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{{Target: kvpb.Compare_MOD, Key: key, Number: w.seen[string(key)]}},
		Success: []*kvpb.RequestOp{put(key, w.value(0), true)},
		Failure: []*kvpb.RequestOp{get(key)},
	}
}

// many changes several keys in one revision and reads some of them.
func (w *kvClient) many() *kvpb.TxnRequest {
	first := w.rng.IntN(groups - 1)
	start, end := fmt.Appendf(nil, "/k/many/%02d/", first), fmt.Appendf(nil, "/k/many/%02d0", first)
	t := &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Target: kvpb.Compare_VERSION, Result: kvpb.Compare_LESS, Key: groupKey(first, 0), Number: 3}}}
	for i := range 1 + w.rng.IntN(4) {
		t.Success = append(t.Success, put(groupKey(first, i), w.value(i), i%2 == 0))
	}
	t.Success = append(t.Success, ranged(start, end))
	t.Failure = append(t.Failure, ranged(start, end), deleteRange(start, end), put(groupKey(first+1, 0), w.value(8), false))
	if w.rng.IntN(2) == 0 {
		t.Failure = append(t.Failure, txn(&kvpb.TxnRequest{
			Compare: []*kvpb.Compare{{Target: kvpb.Compare_CREATE, Key: hotKey(0), Number: 0}},
			Success: []*kvpb.RequestOp{put(hotKey(0), w.value(9), false)},
			Failure: []*kvpb.RequestOp{get(hotKey(0))},
		}))
	}
	return t
}

func put(key, value []byte, prev bool) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: key, Value: value, PrevKv: prev}}}
}

func get(key []byte) *kvpb.RequestOp { return ranged(key, nil) }

func ranged(key, end []byte) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: &kvpb.RangeRequest{Key: key, RangeEnd: end}}}
}

func deleteRange(key, end []byte) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: true}}}
}

func txn(t *kvpb.TxnRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: t}}
}

func compact(revision int64, physical bool) *kvpb.CompactRequest {
	return &kvpb.CompactRequest{Revision: revision, Physical: physical}
}

// learn takes what an answer says of keys and revisions.
func (w *kvClient) learn(req, resp proto.Message) {
	switch resp := resp.(type) {
	case *kvpb.PutResponse:
		w.l.raise(resp.Revision)
		w.seen[string(req.(*kvpb.PutRequest).Key)] = resp.Revision
	case *kvpb.DeleteRangeResponse:
		w.l.raise(resp.Revision)
	case *kvpb.TxnResponse:
		w.l.raise(resp.Revision)
		if t := req.(*kvpb.TxnRequest); resp.Succeeded && t.Compare[0].Target == kvpb.Compare_MOD {
			w.seen[string(t.Compare[0].Key)] = resp.Revision // it was a swap
		}
		for _, r := range resp.Responses {
			for _, kv := range r.GetRange().GetKvs() {
				w.seen[string(kv.Key)] = kv.ModRevision
			}
		}
	case *kvpb.RangeResponse:
		w.l.raise(resp.Revision)
		for _, kv := range resp.Kvs {
			w.seen[string(kv.Key)] = kv.ModRevision
		}
	}
}
