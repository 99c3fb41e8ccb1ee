package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// report holds every measurement of a run.
type report struct {
	Date     time.Time     `json:"date"`
	Took     time.Duration `json:"tookNanos"`
	Command  string        `json:"command"`
	Machine  string        `json:"machine"`
	Versions []string      `json:"versions"`
	Systems  []string      `json:"systems"`
	// Rows are the names of all rows that were asked for, in order.
	Rows []string `json:"rows"`
	// Results are by row and system, one for each repeat.
	Results map[string]map[string][]result `json:"results"`
	// Failed says which row of which system gave no result, and why.
	Failed []string `json:"failed,omitempty"`
	// Profiles are summaries as text.
	Profiles []profileText `json:"profiles,omitempty"`
}

// limitSystem is what the rows of the machine's limits are kept under.
const limitSystem = "limit"

func (r *report) add(row, system string, res result) {
	if r.Results == nil {
		r.Results = map[string]map[string][]result{}
	}
	if r.Results[row] == nil {
		r.Results[row] = map[string][]result{}
	}
	r.Results[row][system] = append(r.Results[row][system], res)
}

func (r *report) fail(row, system string, err error) {
	text := strings.ReplaceAll(fmt.Sprintf("%s %s: %v", system, row, err), "\n", "; ")
	fmt.Fprintln(os.Stderr, "FAILED", text)
	r.Failed = append(r.Failed, text)
}

// median is of a row's results on one system; ok is false where there are none.
func (r *report) median(row, system string, of func(result) float64) (v float64, ok bool) {
	list := r.Results[row][system]
	if len(list) == 0 {
		return 0, false
	}
	return figureIn(list, of).Median, true
}

func (r *report) save(path string) error { return saveJSON(path, r) }

func readReport(path string) (*report, error) {
	r := &report{}
	return r, readJSON(path, r)
}

func saveJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// withRow gives the rows that begin so.
func (r *report) withRow(prefixes ...string) (rows []string) {
	for _, name := range r.Rows {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			rows = append(rows, name)
		}
	}
	return rows
}

// machine describes this one.
func machine() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	model, cores := "", 0
	for line := range strings.Lines(string(b)) {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(v)
			cores++
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d x %s, Linux %s, %.0f GiB", cores, model, strings.TrimSpace(string(release)), float64(field("/proc/meminfo", "MemTotal:", 1024))/(1<<30))
}
