package check

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// The operations of story, by their place.
const (
	putA1 = iota
	putA2
	getA
	txnBC
	deleteBC
	failedTxn
	oldRead
	namedRead
	compaction
	compactedRead
	lostPut
	lastRead
	refusedPut
	emptyDelete
)

func get(key string) *kvpb.RangeRequest { return &kvpb.RangeRequest{Key: []byte(key)} }

func kv(key, value string, create, mod, version int64) *kvpb.KeyValue {
	return &kvpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: create, ModRevision: mod, Version: version}
}

// story is a short right history with something of everything in it.
func story() History {
	put := func(key, value string) *kvpb.PutRequest {
		return &kvpb.PutRequest{Key: []byte(key), Value: []byte(value), PrevKv: true}
	}
	putOp := func(q *kvpb.PutRequest) *kvpb.RequestOp {
		q.PrevKv = false
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: q}}
	}
	found := func(revision int64, kvs ...*kvpb.KeyValue) *kvpb.RangeResponse {
		return &kvpb.RangeResponse{Revision: revision, Kvs: kvs, Count: int64(len(kvs))}
	}
	a1, a2, a9 := kv("a", "1", 2, 2, 1), kv("a", "2", 2, 3, 2), kv("a", "9", 2, 6, 3)
	b, c := kv("b", "3", 4, 4, 1), kv("c", "4", 4, 4, 1)
	ifA := func(mod int64) []*kvpb.Compare {
		return []*kvpb.Compare{{Target: kvpb.Compare_MOD, Key: []byte("a"), Number: mod}}
	}
	old, named := get("a"), get("a")
	old.Serializable, named.Revision = true, 3
	past := get("a")
	past.Revision = 2
	return History{
		Ops: []Op{
			putA1: {Client: 1, Call: 10, Return: 20, MsgID: "m1", Request: put("a", "1"), Response: &kvpb.PutResponse{Revision: 2}},
			putA2: {Client: 2, Call: 30, Return: 40, MsgID: "m2", Request: put("a", "2"), Response: &kvpb.PutResponse{Revision: 3, PrevKv: a1}},
			getA:  {Client: 1, Call: 50, Return: 60, Request: get("a"), Response: found(3, a2)},
			txnBC: {Client: 1, Call: 70, Return: 80, MsgID: "m3",
				Request: &kvpb.TxnRequest{Compare: ifA(3), Success: []*kvpb.RequestOp{putOp(put("b", "3")), putOp(put("c", "4")),
					{Request: &kvpb.RequestOp_Range{Range: get("a")}}}},
				Response: &kvpb.TxnResponse{Revision: 4, Succeeded: true, Responses: []*kvpb.ResponseOp{
					{Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{}}}, {Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{}}},
					{Response: &kvpb.ResponseOp_Range{Range: found(0, a2)}}}}},
			deleteBC: {Client: 2, Call: 90, Return: 100, MsgID: "m4", Request: &kvpb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: []byte("d"), PrevKv: true},
				Response: &kvpb.DeleteRangeResponse{Revision: 5, Deleted: 2, PrevKvs: []*kvpb.KeyValue{b, c}}},
			failedTxn: {Client: 2, Call: 110, Return: 120, MsgID: "m5", Request: &kvpb.TxnRequest{Compare: ifA(2), Success: []*kvpb.RequestOp{putOp(put("a", "5"))}},
				Response: &kvpb.TxnResponse{Revision: 5}},
			oldRead:       {Client: 1, Call: 125, Return: 128, Request: old, Response: found(2, a1)},
			namedRead:     {Client: 1, Call: 130, Return: 140, Request: named, Response: found(5, a2)},
			compaction:    {Client: 1, Call: 150, Return: 160, Request: &kvpb.CompactRequest{Revision: 3}, Response: &kvpb.CompactResponse{Revision: 5, Compacted: 3}},
			compactedRead: {Client: 1, Call: 170, Return: 180, Request: past, Err: &api.Error{Kind: api.KindCompacted, Compacted: 3}},
			lostPut:       {Client: 3, Call: 85, Return: Unknown, MsgID: "m6", Request: put("a", "9")},
			lastRead:      {Client: 1, Call: 190, Return: 200, Request: get("a"), Response: found(6, a9)},
			refusedPut:    {Client: 2, Call: 190, Return: 200, MsgID: "m7", Request: put("a", "10"), Err: api.Errorf(api.KindNoLeader, "")},
			emptyDelete:   {Client: 2, Call: 210, Return: 220, MsgID: "m8", Request: &kvpb.DeleteRangeRequest{Key: []byte("b")}, Response: &kvpb.DeleteRangeResponse{Revision: 6}},
		},
		Events: []*kvpb.Event{
			{Kv: a1, Last: true}, {Kv: a2, Last: true}, {Kv: b}, {Kv: c, Sub: 1, Last: true},
			{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("b"), ModRevision: 5}},
			{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("c"), ModRevision: 5}, Sub: 1, Last: true},
			{Kv: a9, Last: true},
		},
	}
}
