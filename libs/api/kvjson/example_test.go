package kvjson_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func Example() {
	var req kvpb.PutRequest
	err := kvjson.Unmarshal([]byte(`{"key":"/leader","value":"server-3","lease":"00000000000f7f3a"}`), &req)
	fmt.Println(string(req.Key), string(req.Value), req.Lease, err)

	fmt.Println(kvjson.Unmarshal([]byte(`{"then":[{"put":{"kex":"/leader"}}]}`), &kvpb.TxnRequest{}))

	body, _ := kvjson.Marshal(&kvpb.DeleteRangeResponse{Revision: 12, Deleted: 1})
	fmt.Println(string(body))
	// Output:
	// /leader server-3 1015610 <nil>
	// bad_request: $.then[0].put.kex: unknown field
	// {"revision":"12","deleted":"1"}
}
