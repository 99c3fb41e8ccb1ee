package kvjson_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func TestRefused(t *testing.T) {
	deep := strings.Repeat(`{"then":[{"txn":`, 200) + `{}` + strings.Repeat(`}]}`, 200)
	rng, txn, hist := &kvpb.RangeRequest{}, &kvpb.TxnRequest{}, &kvpb.HistoryRequest{}
	put, grant := &kvpb.PutRequest{}, &kvpb.LeaseGrantRequest{}
	for _, c := range []struct {
		m    proto.Message
		body string
		says string
	}{
		{rng, ``, `$: want '{', got the end of the body`},
		{txn, ` `, `$: want '{', got the end of the body`},
		{rng, `null`, `$: want '{', got 'n'`},
		{rng, `[]`, `$: want '{', got an array`},
		{rng, `{`, `$: want a string, got the end of the body`},
		{rng, `{"key"`, `$: want ':', got the end of the body`},
		{rng, `{"key":"/k"`, `$: want '}', got the end of the body`},
		{rng, `{"key":"/k",}`, `$: want a string, got '}'`},
		{rng, `{,"key":"/k"}`, `$: want a string, got ','`},
		{rng, `{"key":"/k"}}`, `$: '}' after the end`},
		{rng, `{"key":"/k"} {`, `$: an object after the end`},
		{rng, "{\"key\":\"/k\"}\x00", `$: '\x00' after the end`},
		{rng, "\xef\xbb\xbf{}", `$: want '{'`},
		{rng, `{"Key":"/k"}`, `$.Key: unknown field`},
		{rng, `{"a b\n":"/k"}`, `$["a b\n"]: unknown field`},
		{rng, `{"` + strings.Repeat("x", 99) + `":1}`, `$["` + strings.Repeat("x", 40) + `..."]: unknown field`},
		{rng, `{"key":"/k","key":"/k"}`, `$.key: given twice`},
		{rng, `{"key":"/k","k\u0065y":"/k"}`, `$.key: given twice`},
		{rng, `{"key":"/k","key_base64":"L2s="}`, `$.key_base64: given twice, or both as text and as base64`},
		{rng, `{"range_end_base64":"L2s=","range_end":"/k"}`, `$.range_end: given twice`},
		{rng, `{"key":1}`, `$.key: want a string, got '1'`},
		{rng, `{"key":null}`, `$.key: want a string, got 'n'`},
		{rng, "{\"key\":\"\xff\"}", `$.key: invalid UTF-8`},
		{rng, "{\"key\":\"a\nb\"}", `$.key: control character 0x0a`},
		{rng, "{\"key\":\"a\x00b\"}", `$.key: control character 0x00`},
		{rng, `{"key":"\ud800"}`, `$.key: an escape \u that is no character`},
		{rng, `{"key":"\ud800\u0041"}`, `$.key: an escape \u that is no character`},
		{rng, `{"key":"\ude00\ud83d"}`, `$.key: an escape \u that is no character`},
		{rng, `{"key":"\u00g0"}`, `$.key: an escape \u that is no character`},
		{rng, `{"key":"\u00"}`, `$.key: an escape \u that is no character`},
		{rng, `{"key":"\x41"}`, `$.key: unknown escape "\\x"`},
		{rng, `{"key":"abc\"`, `$.key: a string does not end`},
		{rng, `{"key":"abc\`, `$.key: a string does not end`},
		{rng, `{"key_base64":"L2s"}`, `$.key_base64: want standard base64`},
		{rng, `{"key_base64":"L2t="}`, `$.key_base64: want standard base64`},
		{rng, `{"key_base64":"L2\ns="}`, `$.key_base64: want standard base64`},
		{rng, `{"key_base64":"_-=="}`, `$.key_base64: want standard base64`},
		{rng, `{"limit":1.0}`, `$.limit: want an integer`},
		{rng, `{"limit":1e3}`, `$.limit: want an integer`},
		{rng, `{"limit":01}`, `$.limit: want an integer`},
		{rng, `{"limit":-0}`, `$.limit: want an integer`},
		{rng, `{"limit":+1}`, `$.limit: want an integer`},
		{rng, `{"limit":""}`, `$.limit: want an integer`},
		{rng, `{"limit":" 1"}`, `$.limit: want an integer`},
		{rng, `{"limit":"0x1"}`, `$.limit: want an integer`},
		{rng, `{"limit":true}`, `$.limit: want an integer`},
		{rng, `{"limit":null}`, `$.limit: want an integer`},
		{rng, `{"limit":9223372036854775808}`, `$.limit: 9223372036854775808 is no 64-bit integer`},
		{rng, `{"limit":"-9223372036854775809"}`, `$.limit: -9223372036854775809`},
		{rng, `{"keys_only":1}`, `$.keys_only: want true or false`},
		{rng, `{"keys_only":"true"}`, `$.keys_only: want true or false`},
		{rng, `{"keys_only":truefalse}`, `$.keys_only: want true or false`},
		{rng, `{"order":"up"}`, `$.order: want one of`},
		{rng, `{"order":""}`, `$.order: want one of`},
		{rng, `{"sort_by":"lease"}`, `$.sort_by: want one of`},
		{rng, `{"key":"/k","range_end":"/l","prefix":true}`, `$: prefix and range_end exclude each other`},
		{rng, `{"prefix":true}`, `$: prefix needs a key`},
		{put, `{"lease":12}`, `$.lease: want a string`},
		{put, `{"lease":"12"}`, `$.lease: want 16 hex digits`},
		{put, `{"lease":"00000000000f7f3g"}`, `$.lease: want 16 hex digits`},
		{put, `{"value":"v","value_base64":""}`, `$.value_base64: given twice`},
		{&kvpb.DeleteRangeRequest{}, `{"prefix":true}`, `$: prefix needs a key`},
		{&kvpb.CompactRequest{}, `{"revision":"12","force":true}`, `$.force: unknown field`},
		{&kvpb.SyncRequest{}, `{"since":"1.0"}`, `$.since: unknown field`},
		{&kvpb.StatusRequest{}, `{"x":1}`, `$.x: unknown field`},
		{txn, `{"if":{}}`, `$.if: want '[', got an object`},
		{txn, `{"if":[1]}`, `$.if[0]: want '{', got '1'`},
		{txn, `{"if":[{"key":"/k"}]}`, `$.if[0]: want a key and exactly one of create_revision`},
		{txn, `{"if":[{"key":"/k","version":1,"lease":"0000000000000001"}]}`, `$.if[0]: want a key and exactly one of create_revision`},
		{txn, `{"if":[{"key":"/k","value":"","value_base64":""}]}`, `$.if[0].value_base64: given twice`},
		{txn, `{"if":[{"key":"/k","version":1,"op":"=="}]}`, `$.if[0].op: want one of ["=" ">" "<" "!="]`},
		{txn, `{"if":[{"key":"/k","version":1,"foo":1}]}`, `$.if[0].foo: unknown field`},
		{txn, `{"if":[{"lock":"/l"}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"fence":1}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"key":"/l","fence":1}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","fence":1,"key":"/l"}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","fence":1,"prefix":true}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","version":1}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","version":1,"fence":1}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","fence":1,"version":1}]}`, `$.if[0]: want lock and fence together`},
		{txn, `{"if":[{"lock":"/l","lock_base64":"L2w=","fence":1}]}`, `$.if[0].lock_base64: given twice`},
		{txn, `{"then":[{}]}`, `$.then[0]: want exactly one of get, put, delete and txn`},
		{txn, `{"then":[{"get":{"key":"/a"}},{"get":{"key":"/a"},"put":{"key":"/b"}}]}`, `$.then[1]: want exactly one of get, put, delete and txn`},
		{txn, `{"then":[{"get":{"key":"/a"},"get":{"key":"/b"}}]}`, `$.then[0].get: given twice`},
		{txn, `{"then":[{"range":{"key":"/a"}}]}`, `$.then[0].range: unknown field`},
		{txn, `{"else":[{"txn":{"then":[{"put":{"kex":"/a"}}]}}]}`, `$.else[0].txn.then[0].put.kex: unknown field`},
		{txn, `{"then":[{"get":{"key":"/a"}},]}`, `$.then[1]: want '{', got ']'`},
		{txn, `{"then":[{"get":{"key":"/a"}}`, `$.then: want ']', got the end of the body`},
		{txn, deep, `nested too deep`},
		{hist, `{"since":12}`, `$.since: want a string`},
		{hist, `{"since":"12."}`, `$.since: position "12.": want REVISION.SUB`},
		{hist, `{"since":"-1.0"}`, `$.since: position`},
		{hist, `{"since":"` + strings.Repeat("1", 5000) + `"}`, `$.since: position`},
		{hist, `{"since":null}`, `$.since: want a string`},
		{grant, ``, `$: want '{', got the end of the body`},
		{grant, `{"ttl":5}`, `$.ttl: want a string, got '5'`},
		{grant, `{"ttl":"5"}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":""}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":"5 s"}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":"1d"}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":"9999999h"}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":"` + strings.Repeat("1", 5000) + `s"}`, `$.ttl: want a duration in a string`},
		{grant, `{"ttl":"1.5ms"}`, `$.ttl: want a duration of whole milliseconds`},
		{grant, `{"ttl":"5s","id":1}`, `$.id: want a string`},
		{grant, `{"ttl":"5s","id":"1"}`, `$.id: want 16 hex digits`},
		{grant, `{"ttl":"5s","lease":"0000000000000001"}`, `$.lease: unknown field`},
		{&kvpb.LeaseKeepAliveRequest{}, `{"ids":["0000000000000001",2]}`, `$.ids[1]: want a string`},
		{&kvpb.LeaseRevokeRequest{}, `{"ids":[]}`, `$.ids: unknown field`},
		{&kvpb.LeaseInfoRequest{}, `{"keys":1}`, `$.keys: want true or false`},
		{&kvpb.LeaseListRequest{}, `{"after":"x"}`, `$.after: want 16 hex digits`},
		{&kvpb.LockRequest{}, `{"key":"/l"}`, `$.key: unknown field`},
		{&kvpb.LockRequest{}, `{"name":"/l","name_base64":"L2w="}`, `$.name_base64: given twice`},
		{&kvpb.LockRequest{}, `{"wait":10}`, `$.wait: want a string`},
		{&kvpb.UnlockRequest{}, `{"ttl":"5s"}`, `$.ttl: unknown field`},
		{&kvpb.UnlockRequest{}, `{"fence":"x"}`, `$.fence: want an integer`},
		{&kvpb.ProclaimRequest{}, `{"wait":"5s"}`, `$.wait: unknown field`},
		{&kvpb.LeaderRequest{}, `{"lease":"0000000000000001"}`, `$.lease: unknown field`},
		// Answers.
		{&kvpb.Event{}, `{"type":"created"}`, `$.type: want "put" or "delete"`},
		{&kvpb.Event{}, `{"revision":"3","kv":{"key":"/k","mod_revision":"4"}}`, `$: revision 3 is not its key's mod_revision 4`},
		{&kvpb.DeleteRangeResponse{}, `{"new":nul}`, `$.new: malformed value`},
		{&kvpb.DeleteRangeResponse{}, `{"new":` + strings.Repeat("[", 9999), `nested too deep`},
		{&kvpb.TxnResponse{}, `{"results":[{"new":{}}]}`, `$.results[0]: want exactly one of`},
		{&kvpb.FeedRequest{}, `{}`, `no JSON form`},
	} {
		err := kvjson.Unmarshal([]byte(c.body), c.m)
		if api.KindOf(err) != api.KindBadRequest || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%T %.80s: error %v, want bad_request saying %s", c.m, c.body, err, c.says)
		} else if len(err.Error()) > 2000 {
			t.Errorf("%T %.80s: an error of %d bytes", c.m, c.body, len(err.Error()))
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"internal message": &kvpb.FeedResponse{},
		"empty op":         &kvpb.TxnRequest{Success: []*kvpb.RequestOp{{}}},
		"empty result":     &kvpb.TxnResponse{Responses: []*kvpb.ResponseOp{{}}},
		"order":            &kvpb.RangeRequest{SortOrder: 9},
		"sort":             &kvpb.RangeRequest{SortTarget: -1},
		"comparison":       &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Result: 4}}},
		"target":           &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Target: 6}}},
		"range of locks":   &kvpb.TxnRequest{Compare: []*kvpb.Compare{{Target: kvpb.Compare_LOCK, RangeEnd: []byte("b")}}},
		"long":             &kvpb.LeaseGrantRequest{TtlMillis: longestMillis + 1},
		"long past":        &kvpb.LeaseGrantRequest{TtlMillis: -longestMillis - 1},
		"event":            &kvpb.Event{Type: 2},
	} {
		if got, err := kvjson.Marshal(m); api.KindOf(err) != api.KindBadRequest {
			t.Errorf("%s: %s, %v, want bad_request", name, got, err)
		}
	}
}
