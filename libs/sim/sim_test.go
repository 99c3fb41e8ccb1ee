package sim_test

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/sim"
)

// seeds are runs that are always made: a few for breadth, and those that found
// something once.
var seeds = []struct {
	seed   uint64
	millis int64
	found  string
}{
	{1, 30_000, ""}, {2, 30_000, ""}, {3, 30_000, ""}, {4, 30_000, ""}, {5, 30_000, ""}, {6, 30_000, ""}, {12, 30_000, ""}, {34, 30_000, ""},
	{3005529, 40_000, "the simulated client bus lost a subscription where a node was started again within 10 ms"},
}

func TestSeeds(t *testing.T) {
	var all sim.Report
	for _, s := range seeds {
		o := sim.Draw(s.seed, s.millis)
		r, err := sim.Run(o)
		if err != nil {
			t.Errorf("%v (it found once: %q)\n%s", err, s.found, strings.Join(o.Flags(), " "))
		}
		all.Add(r)
	}
	t.Logf("%+v", all)
	// A judge that sees nothing finds nothing.
	v := reflect.ValueOf(all)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Int && f.Int() == 0 {
			t.Errorf("no %s in all runs", v.Type().Field(i).Name)
		}
	}
}

// TestEveryFault: each kind of fault happens where it is asked for, alone, and
// is survived.
func TestEveryFault(t *testing.T) {
	for i, name := range sim.FaultNames() {
		o := sim.Draw(uint64(100+i), 15_000)
		o.Nodes, o.HarmMillis, o.Faults = 3, 1000, sim.Weights{}
		o.KV, o.Watchers, o.Leases, o.Locks = 1, 1, 0, 0
		if err := o.Set(name + "=1"); err != nil {
			t.Fatal(err)
		}
		r, err := sim.Run(o)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, strings.Join(o.Flags(), " "))
		}
		for j, n := range r.Faults {
			if (n > 0) != (i == j) {
				t.Errorf("%s: %d times %s", name, n, sim.FaultNames()[j])
			}
		}
	}
}

// TestSameSeed: the same options give the same run, in this process and in
// another one.
func TestSameSeed(t *testing.T) {
	const asked = "KVORUM_SIM_TRACE"
	run := func(seed uint64) sim.Report {
		r, err := sim.Run(sim.Draw(seed, 10_000))
		if err != nil {
			t.Error(err)
		}
		return r
	}
	const count = 4
	trace := func(seed uint64) string { return fmt.Sprintf("trace of %d: %d\n", seed, run(seed).Trace) }
	if os.Getenv(asked) != "" {
		for seed := range uint64(count) {
			fmt.Print(trace(seed))
		}
		return
	}
	other := exec.Command(os.Args[0], "-test.run=^TestSameSeed$")
	other.Env = append(os.Environ(), asked+"=1")
	elsewhere, err := other.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for seed := range uint64(count) {
		a, b := run(seed), run(seed)
		if a != b {
			t.Errorf("seed %d gave %+v and %+v", seed, a, b)
		}
		if !strings.Contains(string(elsewhere), trace(seed)) {
			t.Errorf("seed %d gave another run in another process", seed)
		}
		seen[a.Trace] = true
	}
	if len(seen) != count {
		t.Errorf("%d seeds gave %d runs", count, len(seen))
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
