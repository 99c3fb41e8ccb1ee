package sim_test

import (
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

// Watches under the faults that matter to them. Seed 4 found that a node's
// newest events claimed to have the rest of a revision that they had dropped.
func TestWatches(t *testing.T) {
	var all sim.Report
	for seed := range uint64(8) {
		o := sim.Draw(seed, 30_000)
		o.KV, o.Leases, o.Locks, o.Watchers = 0, 0, 0, 2
		o.KeepRevisions = 20
		o.Faults = sim.Weights{Kill: 1, Pause: 1, PauseLong: 1, Partition: 1, FanoutKill: 2, FanoutPause: 3, FanoutCut: 4}
		if seed == 4 {
			o.Faults = sim.Weights{}
		}
		r, err := sim.Run(o)
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(o.Flags(), " "))
		}
		all.Add(r)
	}
	t.Logf("%+v", all)
	// What does not happen shows nothing.
	if all.Watches < 100 || all.Delivered < 1000 || all.Resumed < 50 || all.TooOld < 5 || all.Overflows < 50 ||
		all.Questions < 500 || all.Publishers < 30 || all.StoreQuestions < 100 {
		t.Errorf("too little happened: %+v", all)
	}
}
