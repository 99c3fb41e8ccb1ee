package check

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func TestRightHistoriesPass(t *testing.T) {
	for seed := range uint64(5) {
		if err := Linearizable(record(t, seed, 3000)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// What inTime finds, porcupine finds without it.
func TestPorcupineAgrees(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 2))
		h := record(t, seed, 300)
		for found := false; !found; {
			changed := copyOf(h)
			if op := &changed.Ops[rng.IntN(len(h.Ops))]; op.Response != nil && op.MsgID == "" {
				op.Call, op.Return = op.Call+rng.Int64N(1000), op.Return+1000
			}
			o, ordered, _, err := changed.order()
			if err != nil {
				continue
			}
			found = inTime(ordered) != nil
			if err := o.windows(ordered); (err != nil) != found {
				t.Fatalf("seed %d: porcupine says %v, and before it was found: %t", seed, err, found)
			}
		}
	}
}

// A store that stands still has many requests under way for a long time. Their
// revisions tell their order, so there is nothing to search.
func TestManyAtOnce(t *testing.T) {
	h := History{}
	for i := range int64(100) {
		value := []byte(strconv.FormatInt(i, 10))
		after := kv("k", string(value), 2, i+2, i+1)
		h.Events = append(h.Events, &kvpb.Event{Kv: after, Last: true})
		h.Ops = append(h.Ops,
			Op{Client: int(i), Call: 1000 - i, Return: 5000, Request: &kvpb.PutRequest{Key: []byte("k"), Value: value}, Response: &kvpb.PutResponse{Revision: i + 2}},
			Op{Client: int(i), Call: 500 + i, Return: 5000, Request: get("k"), Response: &kvpb.RangeResponse{Revision: i + 2, Kvs: []*kvpb.KeyValue{after}, Count: 1}})
	}
	refused(t, "all at once", Linearizable(h), "")
	h.Ops[len(h.Ops)-1].Return = 900
	refused(t, "one too early", Linearizable(h), "stale")
}

func TestWrongHistoriesAreRefused(t *testing.T) {
	resp := func(h *History, op int) proto.Message { return h.Ops[op].Response }
	rangeOf := func(h *History, op int) *kvpb.RangeResponse { return resp(h, op).(*kvpb.RangeResponse) }
	put := func(h *History, op int) *kvpb.PutResponse { return resp(h, op).(*kvpb.PutResponse) }
	txn := func(h *History, op int) *kvpb.TxnResponse { return resp(h, op).(*kvpb.TxnResponse) }
	deletion := func(h *History, op int) *kvpb.DeleteRangeResponse { return resp(h, op).(*kvpb.DeleteRangeResponse) }
	appendOp := func(h *History, from int, change func(op *Op)) {
		op := copyOf(*h).Ops[from]
		change(&op)
		h.Ops = append(h.Ops, op)
	}
	for _, c := range []struct {
		what, words string
		plant       func(h *History)
	}{
		{"nothing", "", func(*History) {}},
		{"unknown and never came", "", func(h *History) {
			h.Ops[lostPut].Request.(*kvpb.PutRequest).Value = []byte("77")
			h.Events = h.Events[:6]
			h.Ops = slices.Delete(h.Ops, lastRead, lastRead+1)[:lastRead]
		}},
		{"answered twice the same", "", func(h *History) {
			appendOp(h, putA2, func(op *Op) { op.Call, op.Return, op.Repeated = 300, 310, true })
		}},
		{"a late answer to what had been given up", "", func(h *History) {
			appendOp(h, lostPut, func(op *Op) {
				op.Call, op.Return, op.Response = 300, 310, &kvpb.PutResponse{Revision: 6, PrevKv: kv("a", "2", 2, 3, 2)}
			})
		}},

		{"a write is lost at the end", "lost", func(h *History) { h.Events = h.Events[:6] }},
		{"a write is lost in the middle", "want revision 5", func(h *History) { h.Events = slices.Delete(h.Events, 4, 6) }},
		{"a lost write's revision is used again", "not what was asked for", func(h *History) { h.Events[1].Kv.Value = []byte("x") }},
		{"half of a transaction", "is missing", func(h *History) {
			h.Events = slices.Delete(h.Events, 3, 4)
			h.Events[2].Last = true
			h.Events[4].Sub = 0
			h.Events = slices.Delete(h.Events, 4, 5)
			h.Events[3].Last = true
		}},
		{"more than the transaction", "is not of it", func(h *History) {
			h.Events[3].Last = false
			h.Events = slices.Insert(h.Events, 4, &kvpb.Event{Kv: kv("z", "z", 4, 4, 1), Sub: 2, Last: true})
		}},
		{"applied twice", "made revision 3 already", func(h *History) { h.Events = append(h.Events, &kvpb.Event{Kv: kv("a", "2", 2, 7, 4), Last: true}) }},
		{"a delete applied twice", "nobody made revision 8", func(h *History) {
			appendOp(h, putA1, func(op *Op) {
				op.MsgID, op.Call, op.Return = "m20", 230, 240
				op.Request.(*kvpb.PutRequest).Key = []byte("c")
				op.Request.(*kvpb.PutRequest).Value = []byte("20")
				op.Response = &kvpb.PutResponse{Revision: 7}
			})
			h.Events = append(h.Events, &kvpb.Event{Kv: kv("c", "20", 7, 7, 1), Last: true},
				&kvpb.Event{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("c"), ModRevision: 8}, Last: true})
		}},
		{"what was refused happened", "but this was refused", func(h *History) { h.Events = append(h.Events, &kvpb.Event{Kv: kv("a", "10", 2, 7, 4), Last: true}) }},
		{"what nobody asked for happened", "nobody made revision 7", func(h *History) { h.Events = append(h.Events, &kvpb.Event{Kv: kv("q", "q", 7, 7, 1), Last: true}) }},
		{"unknown, and seen before it was asked", "after somebody had seen it", func(h *History) { h.Ops[lostPut].Call = 215 }},
		{"one revision for two", "two requests have made revision 3", func(h *History) { appendOp(h, putA2, func(op *Op) { op.MsgID = "other" }) }},
		{"acknowledged before it was asked", "not a record", func(h *History) { h.Ops[putA1].Return = 5 }},

		{"stale read", "stale", func(h *History) {
			*rangeOf(h, lastRead) = kvpb.RangeResponse{Revision: 5, Kvs: []*kvpb.KeyValue{kv("a", "2", 2, 3, 2)}, Count: 1}
			appendOp(h, putA1, func(op *Op) {
				op.MsgID, op.Call, op.Return = "m20", 182, 185
				op.Request.(*kvpb.PutRequest).Value = []byte("20")
				op.Response = &kvpb.PutResponse{Revision: 7, PrevKv: kv("a", "9", 2, 6, 3)}
			})
			h.Events = append(h.Events, &kvpb.Event{Kv: kv("a", "20", 2, 7, 4), Last: true})
		}},
		{"stale answer to a failed compare", "stale", func(h *History) {
			h.Ops[failedTxn].Call, h.Ops[failedTxn].Return = 210, 215
			appendOp(h, lastRead, func(op *Op) {})
		}},
		{"revisions in the wrong order", "stale", func(h *History) { h.Ops[putA1].Call, h.Ops[putA1].Return = 45, 48 }},
		{"serializable read from the future", "from the future", func(h *History) { h.Ops[oldRead].Call, h.Ops[oldRead].Return = 5, 8 }},
		{"named read from the future", "from the future", func(h *History) { h.Ops[namedRead].Call, h.Ops[namedRead].Return = 5, 8 }},
		{"older than asked for", "at least 3", func(h *History) { h.Ops[oldRead].Request.(*kvpb.RangeRequest).MinRevision = 3 }},

		{"wrong value", "kvs", func(h *History) { rangeOf(h, getA).Kvs[0].Value = []byte("x") }},
		{"old value at the new revision", "kvs", func(h *History) { rangeOf(h, getA).Kvs[0] = kv("a", "1", 2, 2, 1) }},
		{"missing key", "kvs", func(h *History) { rangeOf(h, getA).Kvs = nil }},
		{"wrong count", "count", func(h *History) { rangeOf(h, getA).Count = 2 }},
		{"more, though there is no more", "more is", func(h *History) { rangeOf(h, getA).More = true }},
		{"wrong version", "kvs", func(h *History) { rangeOf(h, oldRead).Kvs[0].Version = 2 }},
		{"another state of the past", "kvs", func(h *History) { rangeOf(h, namedRead).Kvs[0] = kv("a", "1", 2, 2, 1) }},
		{"wrong previous value", "prev_kv", func(h *History) { put(h, putA2).PrevKv.Value = []byte("0") }},
		{"no previous value", "prev_kv", func(h *History) { put(h, putA2).PrevKv = nil }},
		{"a previous value of nothing", "prev_kv", func(h *History) { put(h, putA1).PrevKv = kv("a", "0", 1, 1, 1) }},
		{"wrong new state", "kv is", func(h *History) { put(h, putA1).Kv = kv("a", "", 2, 2, 2) }},
		{"wrong outcome of a compare", "succeeded", func(h *History) { txn(h, failedTxn).Succeeded = true }},
		{"a result that is not there", "results", func(h *History) { txn(h, txnBC).Responses = txn(h, txnBC).Responses[:2] }},
		{"a result of the wrong kind", "wrong kind", func(h *History) { r := txn(h, txnBC).Responses; r[1], r[2] = r[2], r[1] }},
		{"a read in a transaction", "result 2", func(h *History) { txn(h, txnBC).Responses[2].GetRange().Kvs = nil }},
		{"omitted without a reason", "0 results", func(h *History) { txn(h, txnBC).Responses, txn(h, txnBC).ResultsOmitted = nil, true }},
		{"deleted less", "deleted", func(h *History) { deletion(h, deleteBC).Deleted = 1 }},
		{"deleted nothing, though it did", "nobody made revision 5", func(h *History) { *deletion(h, deleteBC) = kvpb.DeleteRangeResponse{Revision: 5} }},
		{"deleted something, though there was nothing", "lost", func(h *History) {
			*deletion(h, emptyDelete) = kvpb.DeleteRangeResponse{Revision: 7, Deleted: 1}
		}},
		{"previous states of a delete", "prev_kvs", func(h *History) { deletion(h, deleteBC).PrevKvs[1].ModRevision = 3 }},
		{"an answer to something else", "the answer to", func(h *History) { h.Ops[getA].Response = &kvpb.CompactResponse{Revision: 3} }},

		{"another answer when repeated", "another answer", func(h *History) {
			appendOp(h, putA2, func(op *Op) { op.Call, op.Return = 300, 310; op.Response.(*kvpb.PutResponse).Revision = 7 })
		}},
		{"another request under the id", "one message id", func(h *History) {
			appendOp(h, putA2, func(op *Op) { op.Request.(*kvpb.PutRequest).Value = []byte("y") })
		}},
		{"refused, then done under the same id", "another answer", func(h *History) {
			appendOp(h, putA2, func(op *Op) { op.Err, op.Response = &api.Error{Kind: api.KindLeaseNotFound}, nil })
		}},
		{"unknown recorded as a refusal", "recorded as a refusal", func(h *History) { h.Ops[refusedPut].Err = api.Errorf(api.KindTimeout, "") }},

		{"read after compaction", "after it was compacted", func(h *History) {
			h.Ops[compactedRead].Err = nil
			h.Ops[compactedRead].Response = &kvpb.RangeResponse{Revision: 6, Kvs: []*kvpb.KeyValue{kv("a", "1", 2, 2, 1)}, Count: 1}
		}},
		{"read after compaction in a transaction", "no order", func(h *History) {
			op := &h.Ops[compactedRead]
			op.Err, op.Request = nil, &kvpb.TxnRequest{Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Range{Range: op.Request.(*kvpb.RangeRequest)}}}}
			op.Response = &kvpb.TxnResponse{Revision: 5, Succeeded: true, Responses: []*kvpb.ResponseOp{{Response: &kvpb.ResponseOp_Range{Range: &kvpb.RangeResponse{Kvs: []*kvpb.KeyValue{kv("a", "1", 2, 2, 1)}, Count: 1}}}}}
		}},
		{"compacted twice", "no order", func(h *History) { appendOp(h, compaction, func(op *Op) { op.Call, op.Return = 165, 168 }) }},
		{"said to be compacted, and is not", "though the compacted revision", func(h *History) { h.Ops[compactedRead].Request.(*kvpb.RangeRequest).Revision = 3 }},
		{"said to be compacted before it was", "nobody had compacted", func(h *History) { h.Ops[compactedRead].Call, h.Ops[compactedRead].Return = 141, 142 }},
		{"said to be in the future, and is not", "as in the future", func(h *History) { h.Ops[compactedRead].Err = &api.Error{Kind: api.KindFutureRevision} }},

		{"a condition", "", func(h *History) { h.Ops[putA2].IfRevision = proto.Int64(2) }},
		{"a condition that did not hold", "had to be refused", func(h *History) { h.Ops[putA2].IfRevision = proto.Int64(1) }},
		{"refused by a condition", "", func(h *History) { conditional(h, 3, 2) }},
		{"refused, though the condition held", "refused as 3", func(h *History) { conditional(h, 3, 3) }},
		{"refused by what is not so", "refused as 2", func(h *History) { conditional(h, 2, 3) }},
		{"refused by what is so no more", "stale", func(h *History) {
			conditional(h, 3, 2)
			h.Ops[len(h.Ops)-1].Call, h.Ops[len(h.Ops)-1].Return = 300, 310
		}},
		{"not found, as it was", "", func(h *History) { missing(h, "b", 50) }},
		{"not found, though it was there", "refused as not found", func(h *History) { missing(h, "a", 50) }},
		{"not found as of the past", "stale", func(h *History) { missing(h, "b", 300) }},

		{"events out of order", "want revision 2", func(h *History) { h.Events[0], h.Events[1] = h.Events[1], h.Events[0] }},
		{"a revision twice", "want revision 4", func(h *History) { h.Events = slices.Insert(h.Events, 2, h.Events[1]) }},
		{"a revision without its last event", "inside a revision", func(h *History) { h.Events[6].Last = false }},
		{"a gap in a revision", "place 1", func(h *History) { h.Events[3].Sub = 2 }},
		{"wrong version in an event", "want", func(h *History) { h.Events[1].Kv.Version = 1 }},
		{"wrong create revision in an event", "want", func(h *History) { h.Events[6].Kv.CreateRevision = 6 }},
		{"a delete of nothing", "did not exist", func(h *History) { h.Events[4].Kv.Key = []byte("bb") }},
		{"wrong previous state in an event", "its prev_kv", func(h *History) { h.Events[1].PrevKv = kv("a", "0", 2, 2, 1) }},
		{"expired without a time to live", "expired", func(h *History) { h.Events[4].Expired = true }},
		{"one key twice in a revision", "changed twice", func(h *History) { h.Events[3].Kv = kv("b", "4", 4, 4, 2) }},
	} {
		h := copyOf(story())
		c.plant(&h)
		refused(t, c.what, Linearizable(h), c.words)
	}
}

// conditional adds a put to a that was refused at revision 3 because of the key's
// mod revision.
func conditional(h *History, is, want int64) {
	h.Ops = append(h.Ops, Op{Client: 9, Call: 50, Return: 60, Request: &kvpb.PutRequest{Key: []byte("a"), Value: []byte("99")}, IfRevision: &want,
		Err: &api.Error{Kind: api.KindCompareFailed, Revision: 3, ModRevision: is}})
}

// missing adds a put that wants to keep a key's value and was refused at revision
// 3 because there is no such key.
func missing(h *History, key string, at int64) {
	h.Ops = append(h.Ops, Op{Client: 9, Call: at, Return: at + 10, Request: &kvpb.PutRequest{Key: []byte(key), IgnoreValue: true},
		Err: &api.Error{Kind: api.KindNotFound, Revision: 3}})
}

func BenchmarkLinearizable(b *testing.B) {
	h := record(b, 1, 20_000)
	for b.Loop() {
		if err := Linearizable(h); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(h.Ops)), "ns/request")
}
