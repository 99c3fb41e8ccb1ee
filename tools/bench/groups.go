package main

import (
	"fmt"
	"strings"
)

// tableOf is some rows that are shown as one table.
type tableOf struct {
	title   string
	rows    []string // as they begin
	columns []column
}

// column shows something of a row on one system.
type column struct {
	head string
	show func(c cell) string
}

type cell struct {
	rep         *report
	row, system string
	list        []result
}

// median is a column with medians, spread one with low-high beside them.
func median(head string, of func(result) float64) column {
	return column{head, func(c cell) string { return short(figureIn(c.list, of).Median) }}
}

func spread(head string, of func(result) float64) column {
	return column{head, func(c cell) string { return figureIn(c.list, of).String() }}
}

// taken is a column with median latencies, empty where none were taken.
func taken(head string, of func(result) float64) column {
	return column{head, func(c cell) string {
		if f := figureIn(c.list, of); f.High > 0 {
			return short(f.Median)
		}
		return ""
	}}
}

// times is a column with the ratio to etcd.
func times(head string, of func(result) float64) column {
	return column{head, func(c cell) string {
		if f, ok := ratio(c.list, c.rep.Results[c.row]["etcd"], of); ok && c.system != "etcd" {
			return f.String()
		}
		return ""
	}}
}

// limitOf is the row of the machine's limit that a row is held against.
func limitOf(row string) (limit string, ok bool) {
	name, n, _ := strings.Cut(row, "/")
	switch name {
	case "get", "get-serializable":
		return "limit-request/" + n, true
	case "watch-max":
		return "limit-fanout/" + n, true
	}
	return "", false
}

var ofLimit = column{"of the limit", func(c cell) string {
	if limit, ok := limitOf(c.row); ok {
		if f, ok := ratio(c.list, c.rep.Results[limit][limitSystem], result.perSecond); ok {
			return fmt.Sprintf("%.0f%%", f.Median*100)
		}
	}
	return ""
}}

const mega = 1e6

func errorsOf(r result) float64     { return float64(r.Errors) }
func nodeMemory(r result) float64   { return float64(r.NodeAnonymous) / mega }
func nodeResident(r result) float64 { return float64(r.NodeResident) / mega }
func writtenPerOp(r result) float64 { return over(float64(r.Written), float64(r.Ops)) }
func seconds(r result) float64      { return r.Elapsed.Seconds() }

// of reads a part of the result that only some rows have.
func of[T any](part func(result) *T, get func(*T) float64) func(result) float64 {
	return func(r result) float64 {
		if p := part(r); p != nil {
			return get(p)
		}
		return 0
	}
}

func watchOf(get func(*watched) float64) func(result) float64 {
	return of(func(r result) *watched { return r.Watch }, get)
}

func failoverOf(get func(*failedOver) float64) func(result) float64 {
	return of(func(r result) *failedOver { return r.Failover }, get)
}

func loadOf(get func(*loaded) float64) func(result) float64 {
	return of(func(r result) *loaded { return r.Load }, get)
}

var (
	putsPerSecond = func(r result) float64 { return over(puts(r), r.Elapsed.Seconds()) }
	puts          = watchOf(func(w *watched) float64 { return float64(w.Puts) })
	late          = watchOf(func(w *watched) float64 { return float64(w.Late) })
	lost          = watchOf(func(w *watched) float64 { return float64(w.Lost) })
	repeated      = watchOf(func(w *watched) float64 { return float64(w.Repeated) })
	gapMillis     = failoverOf(func(f *failedOver) float64 { return f.Gap })
	clientGap     = failoverOf(func(f *failedOver) float64 { return f.ClientGap })
	callMillis    = failoverOf(func(f *failedOver) float64 { return f.Call })
	stuck         = failoverOf(func(f *failedOver) float64 { return float64(f.Stuck) })
	restartTime   = loadOf(func(l *loaded) float64 { return figureOf(l.Restarts).Median })
	restartMost   = loadOf(func(l *loaded) float64 { return figureOf(l.Restarts).High })
	watchTime     = loadOf(func(l *loaded) float64 { return l.Watch })
	diskPerNode   = loadOf(func(l *loaded) float64 { return float64(l.DiskBytes) / 3 / mega })
	memoryAfter   = loadOf(func(l *loaded) float64 { return float64(l.After) / mega })

	throughput = []column{
		spread("ops/s", result.perSecond), taken("p50 ms", result.p50), taken("p99 ms", p99), taken("p99.9 ms", p999),
		spread("CPU/10k s", result.cpuPer10k), median("driver CPU/10k s", result.driverPer10k),
	}
	ratios = []column{times("ops/s : etcd", result.perSecond), times("CPU : etcd", result.cpuPer10k)}
)

func p99(r result) float64  { return r.P99 }
func p999(r result) float64 { return r.P999 }

// tables are the groups in the order in which they are shown. Every row is in
// one of them.
func tables() []tableOf {
	watchCounts := []column{median("late", late), median("lost", lost), median("repeated", repeated), median("errors", errorsOf)}
	operations := []column{median("bytes written/op", writtenPerOp), median("MB anonymous, node", nodeMemory), median("errors", errorsOf)}
	return []tableOf{
		{"The machine's limits", []string{"limit-"}, throughput},
		{"Writes", []string{"put/", "compare-and-put/", "txn-4/"}, join(throughput, operations, ratios)},
		{"Reads", []string{"get/", "get-serializable/", "range-100/"}, join(throughput, operations, ratios, []column{ofLimit})},
		{"Leases", []string{"lease-"}, join(throughput, operations, ratios)},
		{"Watches: deliveries", []string{"watch-max/"}, join([]column{
			spread("events/s", result.perSecond), median("puts/s", putsPerSecond), spread("CPU/10k s", result.cpuPer10k),
			median("driver CPU/10k s", result.driverPer10k),
		}, watchCounts, ratios, []column{ofLimit})},
		{"Watches: put to delivery", []string{"watch-latency/"}, join([]column{
			spread("p50 ms", result.p50), median("p99 ms", p99), median("p99.9 ms", p999), times("p50 : etcd", result.p50),
		}, watchCounts)},
		{"Watches: until so many are in place", []string{"watch-create/"}, []column{
			spread("seconds", seconds), median("p50 ms", result.p50), median("p99 ms", p99), median("CPU/10k s", result.cpuPer10k),
			median("lost of one put", lost), times("seconds : etcd", seconds),
		}},
		{"The end of a leader", []string{"failover-"}, []column{
			spread("longest gap ms", gapMillis), spread("worst client's gap ms", clientGap), median("longest call ms", callMillis),
			median("clients stuck", stuck), spread("errors", errorsOf), times("gap : etcd", gapMillis),
		}},
		{"Many keys", []string{"keys-"}, []column{
			spread("keys/s", result.perSecond), median("CPU/10k s", result.cpuPer10k), median("bytes written/key", writtenPerOp),
			spread("MB anonymous, node", nodeMemory), median("MB resident, node", nodeResident), median("MB disk, node", diskPerNode),
			spread("restart s", restartTime), median("slowest s", restartMost), median("watch after s", watchTime), median("MB anonymous after", memoryAfter),
		}},
		{"Idle", []string{"idle"}, []column{
			spread("CPU % of a core", result.cpuPercent), median("MB anonymous, node", nodeMemory), median("MB resident, node", nodeResident),
		}},
	}
}

func join(lists ...[]column) (all []column) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// grid is a table as text: the head and a line for each row and system.
func (t tableOf) grid(r *report) (lines [][]string) {
	head := []string{"row", "system"}
	for _, c := range t.columns {
		head = append(head, c.head)
	}
	for _, row := range r.withRow(t.rows...) {
		for _, system := range append([]string{limitSystem}, systemNames...) {
			list := r.Results[row][system]
			if len(list) == 0 {
				continue
			}
			line := []string{row, system}
			for _, c := range t.columns {
				line = append(line, c.show(cell{r, row, system, list}))
			}
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([][]string{head}, lines...)
}
