package kvjson_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func BenchmarkMarshalPage(b *testing.B) {
	page := &kvpb.RangeResponse{Revision: 12, Count: 1000}
	for range 1000 {
		page.Kvs = append(page.Kvs, leased)
	}
	for b.Loop() {
		_, _ = kvjson.Marshal(page)
	}
}

func BenchmarkUnmarshalTxn(b *testing.B) {
	body := []byte(`{"if":[{"key":"/leader","create_revision":0}],"then":[{"put":{"key":"/leader","value":"server-3"}}],"else":[{"get":{"key":"/leader"}}]}`)
	for b.Loop() {
		_ = kvjson.Unmarshal(body, &kvpb.TxnRequest{})
	}
}
