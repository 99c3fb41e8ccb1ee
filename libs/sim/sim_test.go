package sim_test

import (
	"testing"
	"testing/cryptotest"

	"github.com/kvorum/kvorum/libs/sim"
)

// run simulates half a minute. A seed that fails is run again alone by
// putting it into TestSeeds.
func run(t *testing.T, seed uint64, bugs sim.Bugs) (sim.Report, error) {
	cryptotest.SetGlobalRandom(t, seed)
	return sim.Run(seed, 30_000, bugs)
}

func TestSeeds(t *testing.T) {
	var all sim.Report
	for seed := range uint64(6) {
		r, err := run(t, seed, sim.Bugs{})
		if err != nil {
			t.Error(err)
		}
		all.Renewals += r.Renewals
		all.Expiries += r.Expiries
		all.KeyExpiries += r.KeyExpiries
		all.Locks += r.Locks
		all.FencedWrites += r.FencedWrites
		all.FencedRefused += r.FencedRefused
		all.Leaders += r.Leaders
	}
	t.Logf("%+v", all)
	// A judge that sees nothing finds nothing.
	if all.Renewals < 1500 || all.Expiries < 200 || all.KeyExpiries < 200 || all.Locks < 50 ||
		all.FencedWrites < 200 || all.FencedRefused < 20 || all.Leaders < 40 {
		t.Errorf("too little happened: %+v", all)
	}
}

func TestSameSeed(t *testing.T) {
	a, err := run(t, 42, sim.Bugs{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := run(t, 42, sim.Bugs{}); a != b || err != nil {
		t.Errorf("the same seed gave %+v and %+v, %v", a, b, err)
	}
	if b, _ := run(t, 43, sim.Bugs{}); a.Digest == b.Digest {
		t.Error("another seed gave the same")
	}
}

// What was planted, and in how many of 60 seeds the judge saw it when this was
// written. Each must be seen within seedsMax.
//
// Tried once as well: counting a round that was another leader's, because the
// node had lost the leadership since it recorded the renewal. That was seen in
// one seed of about a hundred, which is too rare to be asked for here.
func TestBugs(t *testing.T) {
	const seedsMax = 100
	for _, c := range []struct {
		name string
		seen int
		bugs sim.Bugs
	}{
		{"expiry on takeover without beginning the timers anew", 59, sim.Bugs{ClockNeverStops: true}},
		{"acknowledgement without a quorum round", 28, sim.Bugs{AckWithoutRound: true}},
		{"no cap on lease time after a pause of the leader", 57, sim.Bugs{NoStepCap: true}},
		{"expiry without generation", 60, sim.Bugs{NoGeneration: true}},
		{"renewal of a lease whose expiry is in flight", 60, sim.Bugs{RenewExpiring: true}},
		{"in flight forgotten when a leadership comes back in its term", 12, sim.Bugs{ForgetInFlight: true}},
		{"acknowledgement without looking whether the lease still is there", 18, sim.Bugs{NoLook: true}},
		{"writes without fence", 60, sim.Bugs{NoFence: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(seedsMax) {
				if _, err := run(t, seed, c.bugs); err != nil {
					t.Log(err)
					return
				}
			}
			t.Errorf("not seen within %d seeds", seedsMax)
		})
	}
}
