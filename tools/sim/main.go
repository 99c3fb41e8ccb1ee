// Command sim runs simulations of whole clusters (libs/sim) under drawn faults,
// one after the other in as many processes as there are processors, and stops
// with the command that replays what failed.
package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/sim"
)

// A run keeps a few megabytes: memory is traded for time.
const (
	gcPercent      = 2000
	memoryBytesMax = 1 << 30
)

// shrinkRuns bounds the runs that shrinking makes.
const shrinkRuns = 300

type config struct {
	seed      uint64
	runs      int
	seconds   float64
	processes int
	mutant    string
	set       []string
	without   []string
	trace     bool
	shrink    bool
	worker    bool
	stride    uint64
}

func main() {
	c := parse()
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryBytesMax)
	if c.mutant != "" {
		if !mutant.Enabled {
			fail("this program has no mistakes in it: build it with -tags mutants")
		}
		sim.Plant(mutant.Bug(c.mutant))
	}
	switch {
	case c.worker:
		c.work()
	case c.trace || c.shrink:
		if !c.single() {
			os.Exit(1)
		}
	default:
		if !c.many() {
			os.Exit(1)
		}
	}
}

func parse() *config {
	c := &config{}
	f := pflag.CommandLine
	f.SortFlags = false
	f.Uint64Var(&c.seed, "seed", 0, "the first run's seed; 0 draws one")
	f.IntVar(&c.runs, "runs", 1, "how many runs, each with the next seed")
	f.Float64Var(&c.seconds, "time", 60, "simulated seconds under faults of each run")
	f.IntVarP(&c.processes, "processes", "j", runtime.NumCPU(), "how many run beside each other")
	f.StringArrayVar(&c.set, "set", nil, "an option other than drawn, as name=number: "+strings.Join(sim.Names(), ", "))
	f.StringSliceVar(&c.without, "without", nil, "options to set to 0: faults, groups of clients")
	f.StringVar(&c.mutant, "mutant", "", "a mistake to plant (needs -tags mutants)")
	f.BoolVar(&c.trace, "trace", false, "print what happens in one run")
	f.BoolVar(&c.shrink, "shrink", false, "find a smaller run that fails as well")
	f.BoolVar(&c.worker, "worker", false, "print a line of JSON for every run")
	f.Uint64Var(&c.stride, "stride", 1, "from one seed to the next")
	_ = f.MarkHidden("worker")
	_ = f.MarkHidden("stride")
	pflag.Parse()
	if pflag.NArg() > 0 || c.runs < 1 || c.seconds <= 0 || c.processes < 1 {
		fail("usage: sim [flags]; see --help")
	}
	for _, name := range c.without {
		c.set = append(c.set, name+"=0")
	}
	for c.seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			fail(err.Error())
		}
		c.seed = uint64(binary.BigEndian.Uint32(b[:]))
	}
	if _, err := c.options(c.seed); err != nil {
		fail(err.Error())
	}
	return c
}

// options are those of a run.
func (c *config) options(seed uint64) (sim.Options, error) {
	o := sim.Draw(seed, int64(c.seconds*1000))
	for _, a := range c.set {
		if err := o.Set(a); err != nil {
			return o, err
		}
	}
	return o, nil
}

// command is what a reader types to see a run again.
func (c *config) command(o sim.Options) string {
	tags, more := "", ""
	if c.mutant != "" {
		tags, more = "-tags mutants ", " --mutant "+c.mutant
	}
	return "go run " + tags + "./tools/sim " + strings.Join(o.Flags(), " ") + more
}

// single makes one run in this process.
func (c *config) single() bool {
	o, _ := c.options(c.seed)
	var tell func(string)
	if c.trace {
		tell = func(line string) { fmt.Println(line) }
	}
	fmt.Printf("options: %+v\n", o)
	report, err := sim.Trace(o, tell)
	fmt.Printf("%+v\n", report)
	if err == nil {
		fmt.Println("nothing failed")
		return true
	}
	fmt.Println("FAILED:", err)
	if c.shrink {
		fmt.Printf("looking for a smaller run, in at most %d runs\n", shrinkRuns)
		o, err = sim.Shrink(o, shrinkRuns, sim.Run)
		fmt.Println("FAILED:", err)
	}
	fmt.Println("replay:", c.command(o))
	return false
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}
