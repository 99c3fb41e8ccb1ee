package sim_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

// seeds are runs that are always made: a few for breadth, and those that found
// something once.
var seeds = []struct {
	seed  uint64
	found string
}{
	{1, ""}, {2, ""}, {3, ""}, {4, ""}, {5, ""}, {6, ""}, {7, ""}, {8, ""},
}

func TestSeeds(t *testing.T) {
	var all sim.Report
	for _, s := range seeds {
		o := sim.Draw(s.seed, 30_000)
		r, err := sim.Run(o)
		if err != nil {
			t.Errorf("%v\n%s", err, strings.Join(o.Flags(), " "))
		}
		all.Add(r)
	}
	t.Logf("%+v", all)
}

func TestSameSeed(t *testing.T) {
	for seed := range uint64(4) {
		a, err := sim.Run(sim.Draw(seed, 20_000))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := sim.Run(sim.Draw(seed, 20_000)); a != b || err != nil {
			t.Errorf("the same seed gave %+v and %+v, %v", a, b, err)
		}
		if b, _ := sim.Run(sim.Draw(seed+100, 20_000)); a.Trace == b.Trace {
			t.Error("another seed gave the same")
		}
	}
}

func TestFlags(t *testing.T) {
	o := sim.Draw(7, 1000)
	if got := len(o.Flags()); got != 4 {
		t.Errorf("what was drawn has the flags %q", o.Flags())
	}
	for _, a := range []string{"nodes=5", "bit-rot=7", "kv=0"} {
		if err := o.Set(a); err != nil {
			t.Error(err)
		}
	}
	again := sim.Draw(7, 1000)
	flags := o.Flags()
	for i := 4; i < len(flags); i += 2 {
		assignment := flags[i+1]
		if flags[i] == "--without" {
			assignment += "=0"
		}
		if err := again.Set(assignment); err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(o, again) {
		t.Errorf("%q gave %+v, want %+v", o.Flags(), again, o)
	}
	for _, a := range []string{"", "nodes", "nodes=x", "seed=1", "nothing=1"} {
		if o.Set(a) == nil {
			t.Errorf("%q was accepted", a)
		}
	}
}
