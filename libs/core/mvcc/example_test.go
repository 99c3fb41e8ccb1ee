package mvcc_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

func Example() {
	m, err := mvcc.Open(memstore.New(nil).State(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	put := &kvpb.PutRequest{Key: []byte("/db/primary"), Value: []byte("10.0.0.6")}
	applied, err := m.Apply([]mvcc.Entry{{Index: 1, Term: 1, Commands: []*command.Command{
		{Op: &command.Command_Put{Put: put}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("revision", applied.Results[0][0].Revision)

	resp, err := m.Published().Range(&kvpb.RangeRequest{Key: []byte("/db/primary")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s = %s\n", resp.Kvs[0].Key, resp.Kvs[0].Value)
	// Output:
	// revision 2
	// /db/primary = 10.0.0.6
}
