package kvjson_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func get(m *kvpb.RangeRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Range{Range: m}}
}

func put(m *kvpb.PutRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: m}}
}

func del(m *kvpb.DeleteRangeRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: m}}
}

func nest(m *kvpb.TxnRequest) *kvpb.RequestOp {
	return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: m}}
}

var (
	primary = &kvpb.KeyValue{Key: []byte("/db/primary"), Value: []byte("10.0.0.6"), CreateRevision: 2, ModRevision: 12, Version: 3}
	leased  = &kvpb.KeyValue{Key: []byte("/leader"), Value: []byte("server-3"), CreateRevision: 4, ModRevision: 4, Version: 1, Lease: 0xf7f3a}
	timed   = &kvpb.KeyValue{Key: []byte("/beat"), CreateRevision: 4, ModRevision: 9, Version: 2, TtlMillis: 1500}
	binary  = &kvpb.KeyValue{Key: []byte("/\xff"), Value: []byte("\x00\xfe"), CreateRevision: 9007199254740993, ModRevision: 9223372036854775807, Version: 1}
)

// golden are the wire's words: a change here is a change of the protocol.
var golden = []struct {
	name string
	m    proto.Message
	json string
}{
	{"range one key", &kvpb.RangeRequest{Key: []byte("/k")}, `{"key":"/k"}`},
	{"range all options", &kvpb.RangeRequest{
		Key: []byte("/a"), RangeEnd: []byte("/b\xff"), Limit: 10, Revision: 7,
		SortOrder: kvpb.RangeRequest_DESCEND, SortTarget: kvpb.RangeRequest_MOD, Serializable: true, KeysOnly: true, CountOnly: true,
		MinModRevision: 1, MaxModRevision: 2, MinCreateRevision: 3, MaxCreateRevision: 4, MinRevision: 5, MaxBytes: 6,
	}, `{"key":"/a","range_end_base64":"L2L/","limit":"10","revision":"7","order":"desc","sort_by":"mod","serializable":true,` +
		`"keys_only":true,"count_only":true,"min_mod_revision":"1","max_mod_revision":"2","min_create_revision":"3","max_create_revision":"4","min_revision":"5","max_bytes":"6"}`},
	{"range everything", &kvpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, SortOrder: kvpb.RangeRequest_ASCEND},
		`{"key":"\u0000","range_end":"\u0000","order":"asc"}`},
	{"put", &kvpb.PutRequest{Key: []byte("/k"), Value: []byte("v \"1\"\\\n\t\r\u2028é"), Lease: 0xf7f3a, PrevKv: true},
		`{"key":"/k","value":"v \"1\"\\\n\t\r` + "\u2028é" + `","lease":"00000000000f7f3a","prev":true}`},
	{"put binary", &kvpb.PutRequest{Key: []byte("\xfe"), Value: []byte("\xff\xfe")}, `{"key_base64":"/g==","value_base64":"//4="}`},
	{"put empty", &kvpb.PutRequest{Key: []byte("/k")}, `{"key":"/k","value":""}`},
	{"put with a time to live", &kvpb.PutRequest{Key: []byte("/beat"), TtlMillis: 1500}, `{"key":"/beat","value":"","ttl":"1.5s"}`},
	{"put ignoring", &kvpb.PutRequest{Key: []byte("/k"), IgnoreValue: true, IgnoreLease: true}, `{"key":"/k","ignore_value":true,"ignore_lease":true}`},
	{"delete", &kvpb.DeleteRangeRequest{Key: []byte("/db/"), RangeEnd: []byte("/db0"), PrevKv: true}, `{"key":"/db/","range_end":"/db0","prev":true}`},
	{"txn empty", &kvpb.TxnRequest{}, `{}`},
	{"txn", &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{
			{Target: kvpb.Compare_CREATE, Key: []byte("/leader")},
			{Target: kvpb.Compare_MOD, Result: kvpb.Compare_GREATER, Key: []byte("/a"), Number: 5},
			{Target: kvpb.Compare_VERSION, Result: kvpb.Compare_LESS, Key: []byte("/a"), RangeEnd: []byte("/b"), Number: 6},
			{Target: kvpb.Compare_VALUE, Result: kvpb.Compare_NOT_EQUAL, Key: []byte("/a"), Value: []byte("x")},
			{Target: kvpb.Compare_VALUE, Key: []byte("/a"), Value: []byte("\xff")},
			{Target: kvpb.Compare_VALUE, Key: []byte("/a")},
			{Target: kvpb.Compare_LEASE, Key: []byte("/a")},
			{Target: kvpb.Compare_LOCK, Key: []byte("/locks/job"), Number: 12},
			{Target: kvpb.Compare_LOCK, Result: kvpb.Compare_NOT_EQUAL, Key: []byte("\xff")},
		},
		Success: []*kvpb.RequestOp{put(&kvpb.PutRequest{Key: []byte("/leader"), Value: []byte("server-3"), Lease: 0xf7f3a})},
		Failure: []*kvpb.RequestOp{
			get(&kvpb.RangeRequest{Key: []byte("/leader")}),
			del(&kvpb.DeleteRangeRequest{Key: []byte("/x")}),
			nest(&kvpb.TxnRequest{Success: []*kvpb.RequestOp{get(&kvpb.RangeRequest{Key: []byte("/y")})}}),
		},
	}, `{"if":[{"key":"/leader","create_revision":"0"},{"key":"/a","op":">","mod_revision":"5"},` +
		`{"key":"/a","range_end":"/b","op":"<","version":"6"},{"key":"/a","op":"!=","value":"x"},{"key":"/a","value_base64":"/w=="},` +
		`{"key":"/a","value":""},{"key":"/a","lease":"0000000000000000"},{"lock":"/locks/job","fence":"12"},{"lock_base64":"/w==","op":"!=","fence":"0"}],` +
		`"then":[{"put":{"key":"/leader","value":"server-3","lease":"00000000000f7f3a"}}],` +
		`"else":[{"get":{"key":"/leader"}},{"delete":{"key":"/x"}},{"txn":{"then":[{"get":{"key":"/y"}}]}}]}`},
	{"compact", &kvpb.CompactRequest{Revision: 12, Physical: true}, `{"revision":"12","physical":true}`},
	{"history", &kvpb.HistoryRequest{Key: []byte("/k"), Since: &kvpb.Position{Revision: 12, Sub: 3}, Limit: 100, PrevKv: true},
		`{"key":"/k","since":"12.3","limit":"100","prev":true}`},
	{"history empty", &kvpb.HistoryRequest{}, `{}`},
	{"sync", &kvpb.SyncRequest{Key: []byte("/a"), RangeEnd: []byte("/b")}, `{"key":"/a","range_end":"/b"}`},
	{"status", &kvpb.StatusRequest{}, `{}`},
	{"lease grant", &kvpb.LeaseGrantRequest{TtlMillis: 5000}, `{"ttl":"5s"}`},
	{"lease grant with an id", &kvpb.LeaseGrantRequest{Id: 0xf7f3a, TtlMillis: 150_000}, `{"id":"00000000000f7f3a","ttl":"2m30s"}`},
	{"lease revoke", &kvpb.LeaseRevokeRequest{Id: -1}, `{"id":"ffffffffffffffff"}`},
	{"lease keepalive", &kvpb.LeaseKeepAliveRequest{Ids: []int64{0xf7f3a, 2}}, `{"ids":["00000000000f7f3a","0000000000000002"]}`},
	{"lease info", &kvpb.LeaseInfoRequest{Id: 0xf7f3a, Keys: true}, `{"id":"00000000000f7f3a","keys":true}`},
	{"lease list", &kvpb.LeaseListRequest{After: 0xf7f3a, Limit: 100}, `{"after":"00000000000f7f3a","limit":"100"}`},
	{"lease list empty", &kvpb.LeaseListRequest{}, `{}`},
	{"lock", &kvpb.LockRequest{TtlMillis: 5000, WaitMillis: 60_000, Value: []byte("shell 1")}, `{"ttl":"5s","wait":"1m0s","value":"shell 1"}`},
	{"lock with a lease", &kvpb.LockRequest{Lease: 0xf7f3a, WaitMillis: 500, Value: []byte("\xff")}, `{"lease":"00000000000f7f3a","wait":"500ms","value_base64":"/w=="}`},
	{"campaign", &kvpb.LockRequest{Name: []byte("/leader"), TtlMillis: 5000, Value: []byte("server-3")}, `{"name":"/leader","ttl":"5s","value":"server-3"}`},
	{"unlock", &kvpb.UnlockRequest{Lease: 0xf7f3a, Fence: 12}, `{"lease":"00000000000f7f3a","fence":"12"}`},
	{"resign", &kvpb.UnlockRequest{Name: []byte("\xff"), Lease: 0xf7f3a}, `{"name_base64":"/w==","lease":"00000000000f7f3a"}`},
	{"proclaim", &kvpb.ProclaimRequest{Name: []byte("/leader"), Lease: 0xf7f3a, Fence: 12, Value: []byte("10.0.0.3")},
		`{"name":"/leader","lease":"00000000000f7f3a","fence":"12","value":"10.0.0.3"}`},
	{"leader", &kvpb.LeaderRequest{Name: []byte("/leader")}, `{"name":"/leader"}`},
	{"observe", &kvpb.LeaderRequest{Name: []byte("/leader"), After: 12, WaitMillis: 10_000}, `{"name":"/leader","after":"12","wait":"10s"}`},

	{"key", leased, `{"key":"/leader","value":"server-3","create_revision":"4","mod_revision":"4","version":"1","lease":"00000000000f7f3a"}`},
	{"key with a time to live", timed, `{"key":"/beat","create_revision":"4","mod_revision":"9","version":"2","ttl":"1.5s"}`},
	{"range answer", &kvpb.RangeResponse{Revision: 12, Kvs: []*kvpb.KeyValue{primary, binary}, More: true, Count: 7},
		`{"kvs":[{"key":"/db/primary","value":"10.0.0.6","create_revision":"2","mod_revision":"12","version":"3"},` +
			`{"key_base64":"L/8=","value_base64":"AP4=","create_revision":"9007199254740993","mod_revision":"9223372036854775807","version":"1"}],` +
			`"count":"7","revision":"12","more":true}`},
	{"range answer empty", &kvpb.RangeResponse{Revision: 1}, `{"kvs":[],"count":"0","revision":"1"}`},
	{"put answer", &kvpb.PutResponse{Revision: 12, PrevKv: leased, Kv: &kvpb.KeyValue{Key: []byte("/leader"), CreateRevision: 4, ModRevision: 12, Version: 2}},
		`{"revision":"12","kv":{"key":"/leader","create_revision":"4","mod_revision":"12","version":"2"},` +
			`"prev":{"key":"/leader","value":"server-3","create_revision":"4","mod_revision":"4","version":"1","lease":"00000000000f7f3a"}}`},
	{"delete answer", &kvpb.DeleteRangeResponse{Revision: 13, Deleted: 1, PrevKvs: []*kvpb.KeyValue{primary}},
		`{"revision":"13","deleted":"1","prev":[{"key":"/db/primary","value":"10.0.0.6","create_revision":"2","mod_revision":"12","version":"3"}]}`},
	{"delete answer nothing", &kvpb.DeleteRangeResponse{Revision: 13}, `{"revision":"13","deleted":"0"}`},
	{"txn answer", &kvpb.TxnResponse{Revision: 12, Succeeded: true, Responses: []*kvpb.ResponseOp{
		{Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{PrevKv: &kvpb.KeyValue{Key: []byte("/k"), ModRevision: 3}}}},
		{Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{}}},
		{Response: &kvpb.ResponseOp_Range{Range: &kvpb.RangeResponse{Kvs: []*kvpb.KeyValue{{Key: []byte("/k")}}, Count: 1, More: true}}},
		{Response: &kvpb.ResponseOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeResponse{Deleted: 1, PrevKvs: []*kvpb.KeyValue{{Key: []byte("/k")}}}}},
		{Response: &kvpb.ResponseOp_Txn{Txn: &kvpb.TxnResponse{}}},
	}}, `{"succeeded":true,"revision":"12","results":[{"put":{"prev":{"key":"/k","mod_revision":"3"}}},{"put":{}},` +
		`{"get":{"kvs":[{"key":"/k"}],"count":"1","more":true}},{"delete":{"deleted":"1","prev":[{"key":"/k"}]}},{"txn":{"succeeded":false,"results":[]}}]}`},
	{"txn answer omitted", &kvpb.TxnResponse{Revision: 12, ResultsOmitted: true}, `{"succeeded":false,"revision":"12","results":[],"results_omitted":true}`},
	{"compact answer", &kvpb.CompactResponse{Revision: 13, Compacted: 12}, `{"revision":"13","compacted":"12"}`},
	{"event", &kvpb.Event{Kv: primary, Last: true},
		`{"type":"put","kv":{"key":"/db/primary","value":"10.0.0.6","create_revision":"2","mod_revision":"12","version":"3"},"revision":"12","sub":"0","last":true}`},
	{"event of an expiry", &kvpb.Event{Type: kvpb.Event_DELETE, Expired: true, Kv: &kvpb.KeyValue{Key: []byte("/beat"), ModRevision: 12}, Sub: 2},
		`{"type":"delete","expired":true,"kv":{"key":"/beat","mod_revision":"12"},"revision":"12","sub":"2"}`},
	{"history answer", &kvpb.HistoryResponse{
		Events: []*kvpb.Event{{
			Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("/k"), ModRevision: 12}, Sub: 1,
			PrevKv: &kvpb.KeyValue{Key: []byte("/k"), Value: []byte("v"), CreateRevision: 3, ModRevision: 3, Version: 1},
		}},
		Through: &kvpb.Position{Revision: 12, Sub: 1}, More: true, Compacted: 2, Epoch: &kvpb.Epoch{Term: 3, N: 1},
	}, `{"events":[{"type":"delete","kv":{"key":"/k","mod_revision":"12"},"prev":{"key":"/k","value":"v","create_revision":"3","mod_revision":"3","version":"1"},` +
		`"revision":"12","sub":"1"}],"through":"12.1","more":true,"compacted":"2","epoch":"3.1"}`},
	{"history answer empty", &kvpb.HistoryResponse{}, `{"events":[],"compacted":"0"}`},
	{"sync answer", &kvpb.SyncResponse{Last: &kvpb.Position{Revision: 12}, Published: &kvpb.Position{Revision: 13, Sub: 2147483647}, Compacted: 2, Epoch: &kvpb.Epoch{Term: 3, N: 18446744073709551615}},
		`{"last":"12.0","published":"13","compacted":"2","epoch":"3.18446744073709551615"}`},
	{"status answer", &kvpb.StatusResponse{
		Node: "node-1", NodeId: 0xfedcba9876543210, ClusterId: 0xff, Version: "0.1.0", Leader: "node-2", Term: 4, RaftIndex: 18446744073709551615,
		CommitIndex: 6, AppliedIndex: 7, CheckpointIndex: 8, FirstIndex: 9, Revision: 10, Compacted: 11, Digest: "ab12", State: "damaged", StateReason: "disk",
		LogBytes: 13, StateBytes: 14, FreeBytes: 15, Alarms: []string{"no_space", "no_leader"}, Ready: true,
		Members: []*kvpb.Member{{Name: "node-2", Id: 2, PeerAddress: "10.0.0.2:7222", Leader: true, Reachable: true}, {Name: "node-4", Learner: true}},
	}, `{"node":"node-1","node_id":"fedcba9876543210","cluster_id":"00000000000000ff","version":"0.1.0","leader":"node-2","term":"4","raft_index":"18446744073709551615",` +
		`"commit_index":"6","applied_index":"7","checkpoint_index":"8","first_index":"9","revision":"10","compacted":"11","digest":"ab12","log_bytes":"13","state_bytes":"14","free_bytes":"15",` +
		`"members":[{"name":"node-2","id":"0000000000000002","peer_address":"10.0.0.2:7222","leader":true,"reachable":true,"learner":false},` +
		`{"name":"node-4","id":"0000000000000000","peer_address":"","leader":false,"reachable":false,"learner":true}],"alarms":["no_space","no_leader"],"ready":true,"state":"damaged","state_reason":"disk"}`},
	{"lease grant answer", &kvpb.LeaseGrantResponse{Revision: 12, Id: 0xf7f3a, TtlMillis: 5000}, `{"id":"00000000000f7f3a","ttl":"5s","revision":"12"}`},
	{"lease revoke answer", &kvpb.LeaseRevokeResponse{Revision: 13, Deleted: 2}, `{"revision":"13","deleted":"2"}`},
	{"lease revoke answer nothing", &kvpb.LeaseRevokeResponse{Revision: 13}, `{"revision":"13","deleted":"0"}`},
	{"lease keepalive answer", &kvpb.LeaseKeepAliveResponse{Leases: []*kvpb.LeaseState{
		{Id: 0xf7f3a, TtlMillis: 5000, LeftMillis: 4200}, {Id: 2, Error: "lease_not_found"},
	}}, `{"leases":[{"id":"00000000000f7f3a","ttl":"5s","left":"4.2s"},{"id":"0000000000000002","error":"lease_not_found"}]}`},
	{"lease keepalive answer empty", &kvpb.LeaseKeepAliveResponse{}, `{"leases":[]}`},
	{"lease info answer", &kvpb.LeaseInfoResponse{Revision: 13, Id: 0xf7f3a, TtlMillis: 5000, Keys: [][]byte{[]byte("/a"), []byte("\xff")}},
		`{"id":"00000000000f7f3a","ttl":"5s","left":"0s","keys":[{"key":"/a"},{"key_base64":"/w=="}],"revision":"13"}`},
	{"lease list answer", &kvpb.LeaseListResponse{Revision: 13, Ids: []int64{0xf7f3a, -1}, More: true}, `{"ids":["00000000000f7f3a","ffffffffffffffff"],"more":true,"revision":"13"}`},
	{"lease list answer empty", &kvpb.LeaseListResponse{Revision: 13}, `{"ids":[],"revision":"13"}`},
	{"lock answer", &kvpb.LockResponse{Revision: 12, Held: true, Key: []byte("/locks/job/00000000000f7f3a"), Fence: 12, Lease: 0xf7f3a},
		`{"held":true,"key":"/locks/job/00000000000f7f3a","fence":"12","lease":"00000000000f7f3a","revision":"12"}`},
	{"lock answer waiting", &kvpb.LockResponse{Revision: 15, Key: []byte("/locks/job/00000000000f7f3a"), Fence: 12, Lease: 0xf7f3a, Ahead: 2},
		`{"held":false,"key":"/locks/job/00000000000f7f3a","fence":"12","lease":"00000000000f7f3a","ahead":"2","revision":"15"}`},
	{"unlock answer", &kvpb.UnlockResponse{Revision: 13}, `{"revision":"13"}`},
	{"proclaim answer", &kvpb.ProclaimResponse{Revision: 13}, `{"revision":"13"}`},
	{"leader answer", &kvpb.LeaderResponse{Revision: 13, Leader: leased},
		`{"leader":{"key":"/leader","value":"server-3","create_revision":"4","mod_revision":"4","version":"1","lease":"00000000000f7f3a"},"revision":"13"}`},
	{"leader answer nobody", &kvpb.LeaderResponse{Revision: 13}, `{"revision":"13"}`},
	{"error", &kvpb.Error{Kind: "compare_failed", Message: "no", Revision: 12}, `{"kind":"compare_failed","message":"no","revision":"12","mod_revision":"0"}`},
	{"error compacted", &kvpb.Error{Kind: "compacted", Message: "gone", Revision: 12, Compacted: 9}, `{"kind":"compacted","message":"gone","revision":"12","compacted":"9"}`},
}

func TestGolden(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			got, err := kvjson.Marshal(c.m)
			if err != nil || string(got) != c.json {
				t.Errorf("Marshal gives %v\n%s\nwant\n%s", err, got, c.json)
			}
			back := c.m.ProtoReflect().New().Interface()
			if err := kvjson.Unmarshal([]byte(c.json), back); err != nil || !proto.Equal(back, c.m) {
				t.Errorf("Unmarshal gives %v\n%v\nwant\n%v", err, back, c.m)
			}
		})
	}
}

// What people write, which is not how Marshal writes it.
func TestOtherForms(t *testing.T) {
	for body, want := range map[string]proto.Message{
		" {\n\t\"key\" : \"/k\" , \"limit\" : 10 }\r\n":        &kvpb.RangeRequest{Key: []byte("/k"), Limit: 10},
		`{"key_base64":"L2s=","revision":"-1"}`:                &kvpb.RangeRequest{Key: []byte("/k"), Revision: -1},
		`{"key":"\u002fk\ud83d\ude00\/\b\f"}`:                  &kvpb.RangeRequest{Key: []byte("/k😀/\b\f")},
		`{"key":"/db","prefix":true}`:                          &kvpb.RangeRequest{Key: []byte("/db"), RangeEnd: []byte("/dc")},
		`{"prefix":true,"key_base64":"/wE="}`:                  &kvpb.RangeRequest{Key: []byte("\xff\x01"), RangeEnd: []byte("\xff\x02")},
		`{"prefix":true,"key_base64":"Af8="}`:                  &kvpb.RangeRequest{Key: []byte("\x01\xff"), RangeEnd: []byte("\x02")},
		`{"prefix":true,"key_base64":"/w=="}`:                  &kvpb.RangeRequest{Key: []byte("\xff"), RangeEnd: []byte("\x00")},
		`{"prefix":true,"key":""}`:                             &kvpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}},
		`{"prefix":false,"key":"/k","range_end":"/l"}`:         &kvpb.RangeRequest{Key: []byte("/k"), RangeEnd: []byte("/l")},
		`{"key":"/k","sort_by":"key","order":"asc"}`:           &kvpb.RangeRequest{Key: []byte("/k"), SortOrder: kvpb.RangeRequest_ASCEND},
		`{"key":"/k","lease":"00000000000F7F3A","prev":false}`: &kvpb.PutRequest{Key: []byte("/k"), Lease: 0xf7f3a},
		`{"if":[],"then":[],"else":[]}`:                        &kvpb.TxnRequest{},
		`{"if":[{"key":"/k","op":"=","version":0}]}`:           &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Key: []byte("/k")}}},
		`{"if":[{"key":"/k","prefix":true,"version":1}]}`:      &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Key: []byte("/k"), RangeEnd: []byte("/l"), Number: 1}}},
		`{"since":"12"}`:                                       &kvpb.HistoryRequest{Since: &kvpb.Position{Revision: 12, Sub: 2147483647}},
		`{"since":"0.0"}`:                                      &kvpb.HistoryRequest{Since: &kvpb.Position{}},
		`{"revision":12}`:                                      &kvpb.CompactRequest{Revision: 12},
		``:                                                     &kvpb.StatusRequest{},
		`{"ttl":"1500ms"}`:                                     &kvpb.LeaseGrantRequest{TtlMillis: 1500},
		`{"ttl":"1h0.5s"}`:                                     &kvpb.LeaseGrantRequest{TtlMillis: 3_600_500},
		`{"ttl":"-1s"}`:                                        &kvpb.LeaseGrantRequest{TtlMillis: -1000},
		`{"wait":"0"}`:                                         &kvpb.LockRequest{},
		`{"fence":12,"lease":"00000000000F7F3A"}`:              &kvpb.UnlockRequest{Lease: 0xf7f3a, Fence: 12},
		`{"if":[{"fence":12,"op":"=","lock":"/l"}]}`:           &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Target: kvpb.Compare_LOCK, Key: []byte("/l"), Number: 12}}},
		// Answers of a newer server.
		`{"new":{"a":[1,-2.5e3,"x",null,true,{}]},"deleted":"1","revision":"3"}`: &kvpb.DeleteRangeResponse{Deleted: 1, Revision: 3},
	} {
		got := want.ProtoReflect().New().Interface()
		if err := kvjson.Unmarshal([]byte(body), got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v\n%v\nwant\n%v", body, err, got, want)
		}
	}
}

// An empty body is an empty request where that means something.
func TestEmptyBody(t *testing.T) {
	for _, m := range messages {
		name := string(m.ProtoReflect().Descriptor().Name())
		err := kvjson.Unmarshal(nil, m.ProtoReflect().New().Interface())
		switch name {
		case "HistoryRequest", "SyncRequest", "StatusRequest", "LeaseListRequest":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if api.KindOf(err) != api.KindBadRequest {
				t.Errorf("%s: %v, want bad_request", name, err)
			}
		}
	}
}

func TestUnmarshalReplaces(t *testing.T) {
	m := &kvpb.HistoryRequest{Key: []byte("/old"), Limit: 3}
	if err := kvjson.Unmarshal(nil, m); err != nil || !proto.Equal(m, &kvpb.HistoryRequest{}) {
		t.Errorf("%v, %v", m, err)
	}
	body := []byte(`{"key":"/k","value":"v"}`)
	p := &kvpb.PutRequest{Lease: 4}
	if err := kvjson.Unmarshal(body, p); err != nil || p.Lease != 0 {
		t.Errorf("%v, %v", p, err)
	}
	copy(body, make([]byte, len(body)))
	if string(p.Key) != "/k" || string(p.Value) != "v" {
		t.Errorf("the message %v holds on to the body", p)
	}
}
