//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// report is what a run tells at its end.
type report struct {
	Seed     uint64                 `json:"seed"`
	Begin    time.Time              `json:"begin"`
	Elapsed  time.Duration          `json:"elapsed_ns"`
	Faults   map[string]*faultCount `json:"faults"`
	Total    counts                 `json:"total"`
	Phases   int                    `json:"phases_judged"`
	Judged   judgedCount            `json:"judged"`
	Exits    []string               `json:"members_that_ended_by_themselves"`
	Verdict  string                 `json:"verdict"`
	Evidence string                 `json:"evidence,omitempty"` // where it is kept

	mu sync.Mutex
}

// faultCount is what one kind of fault did.
type faultCount struct {
	Injected int           `json:"injected"`
	Lasted   time.Duration `json:"lasted_ns"` // all of them, until the cluster was well again
	counts
	Notes []string `json:"notes"`
}

// judgedCount is how much was held against the promises.
type judgedCount struct {
	Operations   int `json:"operations"`
	Events       int `json:"events"`
	Watches      int `json:"watches"`
	WatchedSteps int `json:"watched_steps"`
	Compactions  int `json:"compactions"`
	Leases       int `json:"leases"`
	Expired      int `json:"leases_expired"`
	HeldSpans    int `json:"locks_held"`
	FencedWrites int `json:"fenced_writes"`
}

func newReport(seed uint64) *report {
	return &report{Seed: seed, Begin: time.Now(), Faults: map[string]*faultCount{}}
}

// fault adds one fault.
func (r *report) fault(name string, lasted time.Duration, n counts, notes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.Faults[name]
	if f == nil {
		f = &faultCount{counts: newCounts()}
		r.Faults[name] = f
	}
	f.Injected++
	f.Lasted += lasted
	f.Writes += n.Writes
	f.Reads += n.Reads
	f.UnknownWrites += n.UnknownWrites
	for kind, many := range n.Errors {
		f.Errors[kind] += many
	}
	f.LongestNoWrite = max(f.LongestNoWrite, n.LongestNoWrite)
	f.LongestNoRead = max(f.LongestNoRead, n.LongestNoRead)
	f.Notes = append(f.Notes, strings.Join(notes, "; "))
}

// judged adds a phase that was found right.
func (r *report) judged(l *load) {
	r.Phases++
	j := &r.Judged
	j.Operations += len(l.rec.ops)
	j.Events += len(l.col.events)
	j.Watches += len(l.rec.watches)
	for _, w := range l.rec.watches {
		j.WatchedSteps += len(w.Steps)
	}
	j.Compactions += len(l.rec.compactions)
	j.Leases += len(l.leases.seen)
	j.Expired += l.leases.expired
	j.HeldSpans += len(l.locks.spans)
	j.FencedWrites += l.locks.wrote
	say("phase judged: %d operations, %d events, %d watches", len(l.rec.ops), len(l.col.events), len(l.rec.watches))
}

// end takes what is known when the run is over.
func (r *report) end(total counts, c *cluster) {
	r.Elapsed, r.Total = time.Since(r.Begin), total
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Exits = slices.Clone(c.exits)
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\nseed %d, %v\n\n", r.Seed, r.Elapsed.Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "fault\tinjected\tlongest without a write\twithout a read\twrites\treads\tunknown\terrors\t")
	names := make([]string, 0, len(r.Faults))
	for name := range r.Faults {
		names = append(names, name)
	}
	slices.Sort(names)
	row := func(name string, injected int, c counts) {
		fmt.Fprintf(t, "%s\t%d\t%.1f s\t%.1f s\t%d\t%d\t%d\t%s\t\n", name, injected, c.LongestNoWrite.Seconds(), c.LongestNoRead.Seconds(), c.Writes, c.Reads, c.UnknownWrites, kindsOf(c.Errors))
	}
	injected := 0
	for _, name := range names {
		row(name, r.Faults[name].Injected, r.Faults[name].counts)
		injected += r.Faults[name].Injected
	}
	row("in all", injected, r.Total)
	t.Flush()
	j := r.Judged
	fmt.Fprintf(w, "\njudged: %d phases, %d operations, %d events, %d watches with %d steps, %d compactions, %d leases (%d seen to run out), locks held %d times with %d fenced writes\n",
		r.Phases, j.Operations, j.Events, j.Watches, j.WatchedSteps, j.Compactions, j.Leases, j.Expired, j.HeldSpans, j.FencedWrites)
	fmt.Fprintf(w, "members that ended by themselves, on broken disks: %d\n", len(r.Exits))
	fmt.Fprintf(w, "verdict: %s\n", r.Verdict)
	if r.Evidence != "" {
		fmt.Fprintf(w, "data directories, logs and the history are kept in %s\n", r.Evidence)
	}
}

// kindsOf lists errors by kind, the most frequent first.
func kindsOf(errors map[string]int64) string {
	names := make([]string, 0, len(errors))
	for name := range errors {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(errors[b] - errors[a]) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, errors[name])
	}
	return strings.Join(names, ", ")
}

// write writes the report for programs.
func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
