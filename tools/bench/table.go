package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report holds every measurement of a run.
type report struct {
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Machine string    `json:"machine"`
	// Results are by row and system, one for each repeat.
	Results map[string]map[string][]result `json:"results"`
	order   []string
}

func (r *report) add(row, system string, res result) {
	if r.Results == nil {
		r.Results = map[string]map[string][]result{}
	}
	if r.Results[row] == nil {
		r.Results[row] = map[string][]result{}
		r.order = append(r.order, row)
	}
	r.Results[row][system] = append(r.Results[row][system], res)
}

// figure is a median with the spread around it.
type figure struct{ median, low, high float64 }

func figureOf(list []result, of func(result) float64) figure {
	values := make([]float64, len(list))
	for i, r := range list {
		values[i] = of(r)
	}
	slices.Sort(values)
	n := len(values)
	return figure{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func (f figure) String() string {
	if f.low == f.high {
		return short(f.median)
	}
	return fmt.Sprintf("%s (%s-%s)", short(f.median), short(f.low), short(f.high))
}

// short prints a number with three digits or so.
func short(v float64) string {
	switch {
	case v >= 100_000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// print writes the table: a line for each row and system, with its throughput
// and CPU as ratios to etcd's.
func (r *report) print(w io.Writer, systems []string) {
	fmt.Fprintf(w, "%s, %s\n%s\n\n", r.Date.Format(time.DateOnly), r.Machine, r.Command)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tsystem\tops/s\tp50 ms\tp99 ms\tp99.9 ms\tCPU/10k s\tCPU %\tMB written\tMB anon\terrors\tops/s : etcd\tCPU : etcd")
	for _, name := range r.order {
		all := r.Results[name]
		for _, s := range systems {
			list := all[s]
			if list == nil {
				continue
			}
			ops, cpu := figureOf(list, result.perSecond), figureOf(list, result.cpuPer10k)
			fmt.Fprintf(t, "%s\t%s\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%s\t%s\n", name, s, ops,
				figureOf(list, func(r result) float64 { return r.P50 }), figureOf(list, func(r result) float64 { return r.P99 }),
				figureOf(list, func(r result) float64 { return r.P999 }), cpu,
				figureOf(list, func(r result) float64 { return r.CPUSeconds / r.Elapsed.Seconds() * 100 }),
				figureOf(list, func(r result) float64 { return float64(r.Written) / 1e6 }),
				figureOf(list, func(r result) float64 { return float64(r.Anonymous) / 1e6 }),
				figureOf(list, func(r result) float64 { return float64(r.Errors) }),
				ratio(ops, all["etcd"], result.perSecond), ratio(cpu, all["etcd"], result.cpuPer10k))
		}
	}
	t.Flush()
}

func ratio(f figure, to []result, of func(result) float64) string {
	if to == nil || figureOf(to, of).median == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", f.median/figureOf(to, of).median)
}

func (r *report) save(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
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
