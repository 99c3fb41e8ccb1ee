//go:build mutants

package sim_test

import (
	"flag"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/sim"
)

// survey counts how soon each mistake is seen, for docs/track-record.md.
var survey = flag.Uint64("survey", 0, "run so many seeds of each mistake and tell in how many it is seen")

// catch says how a mistake is seen.
type catch struct {
	bug mutant.Bug
	// tune makes of a drawn run one in which the mistake can show.
	tune func(*sim.Options)
	// by is what the violation says, a regular expression.
	by string
	// within is how many seeds may be needed.
	within uint64
}

// catches has every mistake that the simulator sees.
var catches = []catch{
	{mutant.AckBeforeSync, consensus, `on the disks of`, 5},
	{mutant.AppendPasses, consensus, `out of bound|on the disks of`, 5},
	{mutant.VoteNotSynced, elections, `both lead in term|another state`, 100},
	{mutant.LogNotSynced, power, `keys: |another state|not deterministic|on the disks of|out of range`, 5},
	{mutant.ReadWithoutQuorum, reads, `keys: stale`, 40},
	{mutant.ReadBeforeOwnTerm, changes, `keys: stale`, 40},
	{mutant.ReadBeforeApplied, reads, `keys: `, 20},
	{mutant.LostDiskVotes, lostDisks, `another state|both lead in term|out of range|on the disks of`, 20},
	{mutant.TruncateBeyondCheckpoint, truncations, `past the checkpoint`, 5},
	{mutant.CheckpointBeforeSync, consensus, `has recorded a checkpoint`, 5},
	{mutant.DiscardBeforeCheckpoint, hangs, `meta record is missing|another state|not deterministic`, 30},

	{mutant.ApplyTwice, consensus, `another state|not deterministic|dedup (slot|record)`, 5},
	{mutant.DedupForgotten, consensus, `another state|not deterministic`, 5},
	{mutant.RevisionFromKeys, compactions, `another state|not deterministic`, 10},
	{mutant.PublishEarly, reads, `keys: wrong answer|keeps \d+ timers`, 5},
	{mutant.PrevFromEntry, batches, `tells `, 20},
	{mutant.ReadCompactedInTxn, compactions, `no change record|already discarded|another state`, 30},
	{mutant.TrimCompacted, watches, `tells |watches: `, 10},
	{mutant.SkipCompactedDeletes, watches, `tells |watches: `, 20},
	{mutant.ExpireAnyGeneration, leases, `expired \d+ ms before`, 20},
	{mutant.FenceIgnored, leases, `a write with fence`, 10},
	{mutant.HotKeepsDeleted, compactions, `another state|not deterministic`, 20},

	{mutant.LeaseClockRuns, leases, `expired`, 10},
	{mutant.LeaseClockLeaps, leases, `expired`, 30},
	{mutant.RenewExpiring, leases, `expired`, 30},
	{mutant.ExpiryForgotten, doubts, `expired`, 40},
	{mutant.RenewWithoutQuorum, doubts, `expired|was acknowledged`, 20},
	{mutant.RenewWithoutLook, doubts, `was acknowledged`, 40},
	{mutant.LockForAll, leases, `never was the first`, 5},

	{mutant.ProgressAhead, watches, `watches: |progress through`, 60},
	{mutant.PlusLeftOut, watches, `is torn`, 5},
	{mutant.TakeoverForgets, watches, `watches: `, 5},
	{mutant.WindowOverflow, watches, `watches: `, 5},
	{mutant.BoundForgotten, watches, `watches: `, 60},
	{mutant.TailsLeftOut, watches, `watches: `, 150},
	{mutant.RoutesIgnored, routes, `watches: `, 60},
	{mutant.TwoPublishers, watches, `is granted publishing while`, 5},
	{mutant.Duplicates, watches, `watches: `, 5},
	{mutant.FullForgets, watches, `watches: `, 20},
	{mutant.FutureForgotten, watches, `watches: `, 20},
	{mutant.HalfRevision, watches, `is torn`, 5},
}

// calm is a run in which nothing goes wrong, for others to begin with.
func calm(o *sim.Options) {
	o.Nodes, o.HarmMillis, o.Faults, o.HealCore = 3, 1000, sim.Weights{}, 0
	o.KV, o.Watchers, o.Leases, o.Locks = 0, 0, 0, 0
}

func consensus(o *sim.Options) {
	calm(o)
	o.KV, o.Leases = 1, 1
	o.Faults = sim.Weights{Kill: 1, PowerCut: 1, PowerCutAll: 1, Partition: 1, SlowDisk: 1}
}

// elections are many, slow, and on nodes that lose power meanwhile.
// elections are many, and nodes lose power during them.
func elections(o *sim.Options) {
	calm(o)
	o.Millis, o.KV, o.HarmMillis = 60_000, 1, 500
	o.NetMinMicros, o.NetMaxMicros = 100, 30_000
	o.Faults = sim.Weights{PowerCut: 4, PowerCutAll: 1, Pause: 1}
}

// power is cut, of a store with a single node.
func power(o *sim.Options) {
	calm(o)
	o.Nodes, o.KV, o.Leases = 1, 1, 1
	o.Faults = sim.Weights{PowerCut: 1}
}

func lostDisks(o *sim.Options) {
	consensus(o)
	o.Faults = sim.Weights{LostDisk: 2, Partition: 1, Kill: 1}
}

// reads are asked of leaders that are none any more.
func reads(o *sim.Options) {
	calm(o)
	o.Millis, o.KV, o.HarmMillis = 30_000, 4, 700
	o.Faults = sim.Weights{PauseLong: 3, Partition: 1}
}

// changes are of the leader, and often.
func changes(o *sim.Options) {
	reads(o)
	o.HarmMillis = 500
	o.Faults = sim.Weights{Kill: 3, Partition: 1}
}

// truncations take all that they may.
func truncations(o *sim.Options) {
	consensus(o)
	o.KeepEntries, o.KeepBytes, o.CheckpointMillis = 1, 1, 1000
}

// compactions are many, and nodes start anew after them.
func compactions(o *sim.Options) {
	calm(o)
	o.KV, o.KeepRevisions, o.CheckpointMillis, o.HarmMillis = 2, 20, 1000, 700
	o.Faults = sim.Weights{Kill: 2, PowerCut: 1}
}

// hangs are of the disk, and end with a kill.
func hangs(o *sim.Options) {
	calm(o)
	o.KV, o.KeepRevisions, o.CheckpointMillis, o.HarmMillis = 6, 10, 2000, 800
	o.Faults = sim.Weights{Kill: 3, HungDisk: 3}
}

// batches are entries with many commands.
func batches(o *sim.Options) {
	calm(o)
	o.KV, o.KeepRevisions, o.EntryBytes, o.LogMinMicros, o.LogMaxMicros = 8, 0, 0, 20_000, 60_000
}

func leases(o *sim.Options) {
	calm(o)
	o.Leases, o.Locks = 1, 1
	o.Faults = sim.Weights{Kill: 1, Pause: 2, PauseLong: 2, PauseAll: 1, Partition: 2, BadNetwork: 1}
}

// doubts are of a leader in its own leadership, which comes back in its term.
func doubts(o *sim.Options) {
	calm(o)
	o.Millis, o.Leases, o.HarmMillis = 30_000, 3, 500
	o.NetMinMicros, o.NetMaxMicros, o.NetLoss = 100, 1000, 0
	o.LogMinMicros, o.LogMaxMicros, o.ApplyMaxMicros, o.ApplySlow = 1000, 4000, 2000, 10
	o.Faults = sim.Weights{Pause: 1, PauseLong: 1, Partition: 3}
}

func watches(o *sim.Options) {
	calm(o)
	o.Watchers, o.KeepRevisions, o.CheckpointMillis = 2, 20, 500
	o.Faults = sim.Weights{FanoutKill: 2, FanoutPause: 2, FanoutCut: 2, Kill: 1}
}

// routes have routes break all the time, under many watchers.
func routes(o *sim.Options) {
	watches(o)
	o.Watchers, o.HarmMillis, o.Faults = 4, 100, sim.Weights{FanoutCut: 1}
}

// options are those of a mistake's run.
func (c catch) options(seed uint64) sim.Options {
	o := sim.Draw(seed, 20_000)
	c.tune(&o)
	return o
}

// run reports how a run with the mistake ends.
func (c catch) run(seed uint64) error {
	sim.Plant(c.bug)
	defer sim.Plant("")
	_, err := sim.Run(c.options(seed))
	return err
}

// TestMutants: each mistake is seen within its number of seeds, for the reason
// that is expected, and the very run that shows it passes without it.
func TestMutants(t *testing.T) {
	if *survey > 0 {
		t.Skip("a survey is made")
	}
	for _, c := range catches {
		t.Run(string(c.bug), func(t *testing.T) {
			for seed := range c.within {
				err := c.run(seed)
				if err == nil {
					continue
				}
				if !regexp.MustCompile(c.by).MatchString(err.Error()) {
					t.Errorf("seen by another check than %q: %v", c.by, err)
				}
				if _, err := sim.Run(c.options(seed)); err != nil {
					t.Errorf("seen without the mistake as well: %v", err)
				}
				return
			}
			t.Errorf("not seen within %d seeds", c.within)
		})
	}
}

// TestSurvey counts, for every seed to begin with, how many it takes.
func TestSurvey(t *testing.T) {
	if *survey == 0 {
		t.Skip("no survey is asked for")
	}
	for _, c := range catches {
		t.Run(string(c.bug), func(t *testing.T) { c.survey(t) })
	}
}

func (c catch) survey(t *testing.T) {
	seen, since := 0, 1
	var waits []int
	kinds := map[string]int{}
	for seed := range *survey {
		err := c.run(seed)
		if err == nil {
			since++
			continue
		}
		if _, err := sim.Run(c.options(seed)); err != nil {
			t.Errorf("without the mistake: %v", err)
			continue
		}
		seen++
		for ; since > 0; since-- {
			waits = append(waits, since)
		}
		since = 1
		kinds[kind(err)]++
	}
	if seen == 0 {
		t.Fatalf("not seen in %d seeds", *survey)
	}
	slices.Sort(waits)
	t.Logf("seen in %d of %d seeds, after %d in the median, %d at most", seen, *survey, waits[len(waits)/2], max(waits[len(waits)-1], since-1))
	for kind, n := range kinds {
		t.Logf("%3d %.300s", n, kind)
	}
}

// kind is a violation without its particulars.
func kind(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	_, line, _ = strings.Cut(line, "ms: ")
	line = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "K")
	return regexp.MustCompile(`\d+`).ReplaceAllString(line, "N")
}
