//go:build mutants

package watchstate_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// TestMutants: the mistakes that a whole simulated cluster hardly ever shows are
// seen by the tests of the rules.
func TestMutants(t *testing.T) {
	defer watchstate.Plant("")
	for _, name := range []string{"interruption-ignored", "anchor-forgotten"} {
		watchstate.Plant(name)
		if !claimsTooMuch(100) {
			t.Errorf("%s is not seen", name)
		}
		watchstate.Plant("")
		if claimsTooMuch(100) {
			t.Errorf("seen without %s as well", name)
		}
	}
	watchstate.Plant("old-epoch")
	s := joined(t)
	s.Live(live(1, at(7, 0), 11, 0, false))
	if _, ok := s.Pop(); !ok {
		t.Error("old-epoch is not seen")
	}
}

// claimsTooMuch is TestCompactedOrComplete's check of progress.
func claimsTooMuch(seeds uint64) bool {
	for seed := range seeds {
		m := newModel(seed, limits[seed%uint64(len(limits))])
		m.loss = m.rng.Float64() / 5
		for range 300 {
			m.step()
			if m.inScopeThrough(m.state.Through()) > m.delivered() {
				return true
			}
		}
	}
	return false
}
