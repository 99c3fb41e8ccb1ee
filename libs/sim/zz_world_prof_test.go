package sim_test

import (
	"runtime/debug"
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

func TestZZProf(t *testing.T) {
	debug.SetGCPercent(400)
	var all sim.Report
	for seed := range uint64(30) {
		r, err := sim.Run(sim.Draw(5000+seed, 60_000))
		if err != nil {
			t.Logf("%.300s", err.Error())
		}
		all.Add(r)
	}
	t.Logf("%d ms %+v", all.SimulatedMillis, all)
}
