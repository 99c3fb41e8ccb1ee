package node

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// A read that meets damaged data stops the node; one that merely fails does not.
func TestDamagedDataStopsTheNode(t *testing.T) {
	for _, c := range []struct {
		err   error
		stops bool
	}{
		{fmt.Errorf("reading: %w", store.ErrCorrupt), true},
		{store.ErrDiscarded, false},
		{api.Errorf(api.KindNotFound, "no key"), false},
		{nil, false},
	} {
		stopped := false
		out := &responder{stats: natsbus.NewStats(endpoints()), term: func() uint64 { return 1 }, damaged: func(error) { stopped = true }}
		r := &readRequest{request: &request{msg: &nats.Msg{}, endpoint: "get", out: out},
			serve: func(*mvcc.Published) (answer, error) { return answer{}, c.err }}
		r.run(nil)
		if stopped != c.stops {
			t.Errorf("%v: stopped is %v", c.err, stopped)
		}
	}
}
