package sim_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

// A judge that sees nothing finds nothing: of everything that a history can hold
// there is enough.
func TestKeys(t *testing.T) {
	var all sim.Report
	for seed := range uint64(4) {
		o := sim.Draw(100+seed, 30_000)
		o.Nodes, o.KV, o.KeepRevisions = 3, 2, 100
		o.Watchers, o.Leases, o.Locks, o.HarmMillis = 0, 0, 0, 4000
		r, err := sim.Run(o)
		if err != nil {
			t.Error(err)
		}
		all.Add(r)
	}
	t.Logf("%+v", all)
	if all.Writes < 1000 || all.Reads < 1000 || all.KeyExpiries < 10 || all.GivenUp < 20 || all.Refused < 50 || all.Repeated < 20 || all.Compactions < 3 {
		t.Errorf("too little happened: %+v", all)
	}
}
