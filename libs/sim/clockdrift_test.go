package sim

import (
	"math/rand/v2"
	"testing"
)

// TestClockwork: when is the first moment at which a clock shows a time, and
// the clock never goes back, whatever its rate.
func TestClockwork(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var c clockwork
	now, last := int64(1), int64(0)
	for range 10_000 {
		now += rng.Int64N(1_000 * ms)
		if rng.IntN(3) == 0 {
			c.run(now, rng.Int64N(100_001)-50_000)
		}
		shown := c.show(now)
		if shown < last {
			t.Fatalf("the clock went back from %d to %d", last, shown)
		}
		last = shown
		alarm := shown + rng.Int64N(10_000*ms) + 1
		if at := c.when(alarm); c.show(at) < alarm || c.show(at-2) >= alarm {
			t.Fatalf("at %d the clock shows %d, just before it %d, asked for %d", at, c.show(at), c.show(at-2), alarm)
		}
	}
}
