package sim_test

import (
	"errors"
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

// TestShrink: all that a failure does not need is left out, and what it needs
// stays.
func TestShrink(t *testing.T) {
	o := sim.Draw(3, 100_000)
	o.Nodes, o.Leases, o.Faults.Kill, o.Faults.PauseAll = 5, 2, 3, 1
	runs := 0
	got, err := sim.Shrink(o, 300, func(o sim.Options) (sim.Report, error) {
		runs++
		if o.Nodes >= 3 && o.Faults.Kill > 0 && o.Leases > 0 && o.Millis >= 20_000 {
			return sim.Report{SimulatedMillis: 30_000}, errors.New("found")
		}
		return sim.Report{}, nil
	})
	if err == nil || runs > 300 {
		t.Fatalf("%v after %d runs", err, runs)
	}
	if want := (sim.Weights{Kill: 3}); got.Faults != want {
		t.Errorf("left with the faults %+v, want %+v", got.Faults, want)
	}
	if got.Nodes != 3 || got.Leases != 1 || got.KV+got.Locks+got.Watchers != 0 || got.Millis != 30_001 {
		t.Errorf("left with %+v", got)
	}
	if got, err := sim.Shrink(o, 300, func(sim.Options) (sim.Report, error) { return sim.Report{}, nil }); err != nil || got != o {
		t.Errorf("where nothing fails: %+v, %v", got, err)
	}
	runs = 0
	_, _ = sim.Shrink(o, 10, func(sim.Options) (sim.Report, error) { runs++; return sim.Report{}, errors.New("always") })
	if runs > 10 {
		t.Errorf("%d runs where 10 are allowed", runs)
	}
}
