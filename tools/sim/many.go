package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/sim"
)

const (
	// progressEvery is how often totals are printed.
	progressEvery = 10 * time.Second
	// runTimeout is how long one run may take before it counts as hung.
	runTimeout = 5 * time.Minute
	// failuresMax is after how many failed runs the rest is given up.
	failuresMax = 5
)

// outcome is a worker's line about one run. A line without Done says that the
// run begins.
type outcome struct {
	Seed    uint64
	Done    bool
	Report  sim.Report
	Error   string
	Command string
}

// work makes runs in this process and prints their outcomes.
func (c *config) work() {
	out := json.NewEncoder(os.Stdout)
	for i := range c.runs {
		seed := c.seed + uint64(i)*c.stride
		_ = out.Encode(outcome{Seed: seed}) // a reader that is gone needs nothing
		o, _ := c.options(seed)
		report, err := sim.Run(o)
		line := outcome{Seed: seed, Done: true, Report: report}
		if err != nil {
			line.Error, line.Command = err.Error(), c.command(o)
		}
		if out.Encode(line) != nil {
			return
		}
	}
}

// many makes all runs in processes of their own: a simulation owns the source of
// chance of its process.
func (c *config) many() bool {
	processes := min(c.processes, c.runs)
	fmt.Printf("seeds %d to %d, %g simulated seconds each, %d processes\n", c.seed, c.seed+uint64(c.runs)-1, c.seconds, processes)
	outcomes := make(chan outcome)
	stop := make(chan struct{})
	for i := range processes {
		runs := (c.runs - i + processes - 1) / processes
		go c.supervise(c.seed+uint64(i), runs, uint64(processes), outcomes, stop)
	}
	t := totals{started: time.Now()}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for t.runs < c.runs && t.failed < failuresMax {
		select {
		case o := <-outcomes:
			t.add(o)
		case <-ticker.C:
			fmt.Println(t.line())
		}
	}
	close(stop)
	t.print()
	return t.failed == 0
}

// supervise runs one worker. One that dies or hangs has a failed run, and
// another goes on behind that.
func (c *config) supervise(seed uint64, runs int, stride uint64, outcomes chan<- outcome, stop <-chan struct{}) {
	send := func(o outcome) bool {
		select {
		case outcomes <- o:
			return true
		case <-stop:
			return false
		}
	}
	for runs > 0 {
		args := []string{"--worker", "--seed", fmt.Sprint(seed), "--runs", strconv.Itoa(runs), "--stride", fmt.Sprint(stride),
			"--time", fmt.Sprint(c.seconds)}
		for _, s := range c.set {
			args = append(args, "--set", s)
		}
		if c.mutant != "" {
			args = append(args, "--mutant", c.mutant)
		}
		worker := exec.Command(os.Args[0], args...)
		var said strings.Builder
		worker.Stderr = &said
		lines, err := worker.StdoutPipe()
		if err == nil {
			err = worker.Start()
		}
		if err != nil {
			send(outcome{Seed: seed, Done: true, Error: err.Error()})
			return
		}
		hung := time.AfterFunc(runTimeout, func() { _ = worker.Process.Kill() })
		ended := make(chan struct{})
		go func() {
			select {
			case <-stop:
				_ = worker.Process.Kill()
			case <-ended:
			}
		}()
		scanner := bufio.NewScanner(lines)
		scanner.Buffer(nil, 16<<20)
		for scanner.Scan() {
			var o outcome
			if json.Unmarshal(scanner.Bytes(), &o) != nil || !o.Done {
				continue
			}
			hung.Reset(runTimeout)
			seed, runs = seed+stride, runs-1
			if !send(o) {
				break
			}
		}
		err = worker.Wait()
		hung.Stop()
		close(ended)
		if runs == 0 {
			return
		}
		o, _ := c.options(seed)
		if !send(outcome{Seed: seed, Done: true, Command: c.command(o),
			Error: fmt.Sprintf("seed %d: the process ended or hung (%v): %s", seed, err, tail(said.String()))}) {
			return
		}
		seed, runs = seed+stride, runs-1
	}
}

// tail is the end of a long text.
func tail(s string) string { return s[max(0, len(s)-8000):] }

// totals are of all runs so far.
type totals struct {
	started      time.Time
	runs, failed int
	all          sim.Report
}

func (t *totals) add(o outcome) {
	t.runs++
	t.all.Add(o.Report)
	if o.Error != "" {
		t.failed++
		fmt.Printf("FAILED: %s\nreplay: %s\n", o.Error, o.Command)
	}
}

func (t *totals) line() string {
	seconds, real := float64(t.all.SimulatedMillis)/1000, time.Since(t.started).Seconds()
	return fmt.Sprintf("%6.0f s: %d runs, %d failed, %.0f simulated seconds (%.0f times real time), %d writes, %d reads, %d entries",
		real, t.runs, t.failed, seconds, seconds/real, t.all.Writes, t.all.Reads, t.all.Entries)
}

func (t *totals) print() {
	fmt.Println(t.line())
	r := t.all
	fmt.Printf("leases: %d grants, %d renewals, %d expiries, %d of keys; locks: %d, %d guarded writes, %d refused; watches: %d, %d revisions delivered\n",
		r.Grants, r.Renewals, r.Expiries, r.KeyExpiries, r.Locks, r.FencedWrites, r.FencedRefused, r.Watches, r.Delivered)
	fmt.Printf("nodes: %d leaderships, %d checkpoints, %d compactions, %d snapshots; %d messages, %d steps, %d checks\n",
		r.Leaders, r.Checkpoints, r.Compactions, r.Snapshots, r.Messages, r.Steps, r.Checks)
	fmt.Print("faults:")
	for i, name := range sim.FaultNames() {
		fmt.Printf(" %s %d", name, r.Faults[i])
	}
	fmt.Println()
}
