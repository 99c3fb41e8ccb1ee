package main

import "fmt"

// goal is something that a figure of a run is held against.
type goal struct {
	name string
	unit string
	// The figure is to be at least the bound if least is set, else at most.
	least  bool
	bound  float64
	figure func(r *report) (v float64, ok bool)
}

// reached tells whether a figure does, and how near it is: 1 at the bound, less
// on the wrong side.
func (g goal) reached(v float64) (ok bool, near float64) {
	switch {
	case g.least:
		return v >= g.bound, over(v, g.bound)
	case v == 0:
		return true, 1
	}
	return v <= g.bound, g.bound / v
}

// own is a median of ours, against another row's.
func own(row string, of func(result) float64) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) { return r.median(row, "kvorum", of) }
}

func against(row, other, system string, of func(result) float64) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		f, ok := ratio(r.Results[row]["kvorum"], r.Results[other][system], of)
		return f.Median, ok
	}
}

// putLimit is a put's p50 as a multiple of one disk sync and one round trip.
func putLimit(r *report) (float64, bool) {
	put, ok1 := r.median("put/1", "kvorum", result.p50)
	sync, ok2 := r.median("limit-sync", limitSystem, result.p50)
	trip, ok3 := r.median("limit-request/1", limitSystem, result.p50)
	return over(put, sync+trip), ok1 && ok2 && ok3
}

// worst is the most of a figure in all results of ours in some rows.
func worst(of func(result) float64, prefixes ...string) func(*report) (float64, bool) {
	return func(r *report) (most float64, ok bool) {
		for _, row := range r.withRow(prefixes...) {
			for _, res := range r.Results[row]["kvorum"] {
				most, ok = max(most, of(res)), true
			}
		}
		return most, ok
	}
}

// goals are what we want to reach, all in the same run on the same machine.
func goals() (all []goal) {
	add := func(name, unit string, least bool, bound float64, figure func(*report) (float64, bool)) {
		all = append(all, goal{name, unit, least, bound, figure})
	}
	const most, least = false, true
	add("put, 1 client: p50", "x etcd", most, 0.5, against("put/1", "put/1", "etcd", result.p50))
	add("put, 1 client: p50", "x (disk sync + bus round trip)", most, 2.5, putLimit)
	for _, n := range []int{64, 256} {
		row := fmt.Sprintf("put/%d", n)
		name := fmt.Sprintf("put, %d clients", n)
		add(name, "x etcd", least, 3, against(row, row, "etcd", result.perSecond))
		add(name+": CPU/10k", "x etcd", most, 1.0/3, against(row, row, "etcd", result.cpuPer10k))
		add(name, "x JetStream unsynced", least, 1, against(row, row, "js-default", result.perSecond))
	}
	add("compare-and-put, 64 clients", "x etcd", least, 3, against("compare-and-put/64", "compare-and-put/64", "etcd", result.perSecond))
	for _, n := range []int{64, 256} {
		row := fmt.Sprintf("get/%d", n)
		name := fmt.Sprintf("linearizable get, %d clients", n)
		add(name, "x etcd", least, 3, against(row, row, "etcd", result.perSecond))
		add(name, "x bare NATS request/reply", least, 0.6, against(row, fmt.Sprintf("limit-request/%d", n), limitSystem, result.perSecond))
	}
	for _, n := range []int{100, 1000, 10000} {
		add(fmt.Sprintf("watch, %d watchers", n), "x bare NATS fan-out", least, 0.8,
			against(fmt.Sprintf("watch-max/%d", n), fmt.Sprintf("limit-fanout/%d", n), limitSystem, result.perSecond))
	}
	add("watch, 1 watcher: put to delivery p50", "ms", most, 1, own("watch-latency/1", result.p50))
	add("watch, 100,000 watchers: not reached by a put", "watchers", most, 0, worst(lost, "watch-create/100000"))
	add("watch: deliveries lost", "events", most, 0, worst(lost, "watch-"))
	add("watch: deliveries repeated", "events", most, 0, worst(repeated, "watch-"))
	add("kill -9 the leader: longest gap", "ms", most, 300, own("failover-kill", gapMillis))
	add("stop the leader: longest gap", "ms", most, 50, own("failover-graceful", gapMillis))
	add("stop the leader: errors", "errors", most, 0, worst(errorsOf, "failover-graceful"))
	add("hung leader: longest gap", "ms", most, 1600, own("failover-hang", gapMillis))
	add("hung leader: clients stuck", "clients", most, 0, worst(stuck, "failover-hang"))
	for _, l := range []struct {
		row             string
		memory, restart float64
	}{{"keys-1000000", 100, 1}, {"keys-10000000", 400, 2}} {
		add(l.row+": anonymous memory of a node", "MB", most, l.memory, own(l.row, nodeMemory))
		add(l.row+": cold restart of all three", "s", most, l.restart, own(l.row, restartTime))
	}
	for _, where := range []string{"", "-leader", "-follower"} {
		row := "lease-keepalive" + where + "/64"
		add(row, "leases/s", least, 100_000, own(row, result.perSecond))
	}
	add("idle: three nodes", "% of a core", most, 1, own("idle-nodes", result.cpuPercent))
	return all
}

// notMeasured stands where a goal has no figure.
const notMeasured = "not measured"

// goalGrid is a line for each goal.
func goalGrid(r *report) [][]string {
	lines := [][]string{{"goal", "wanted", "measured", "unit", "reached", "how near"}}
	for _, g := range goals() {
		sign := "<="
		if g.least {
			sign = ">="
		}
		line := []string{g.name, sign + " " + short(g.bound), notMeasured, g.unit, "", ""}
		if v, ok := g.figure(r); ok {
			yes, near := g.reached(v)
			line[2], line[4], line[5] = short(v), "no", fmt.Sprintf("%.0f%%", near*100)
			if yes {
				line[4] = "yes"
			}
		}
		lines = append(lines, line)
	}
	return lines
}
