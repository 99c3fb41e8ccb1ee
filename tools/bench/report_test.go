package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample is a report of two repeats in which ours does three times etcd's puts.
func sample() *report {
	r := &report{
		Date: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Took: time.Minute, Command: "bench --rows x", Machine: "2 x CPU",
		Versions: []string{"etcd 3.7.3"}, Systems: systemNames,
		Rows:     []string{"limit-sync", "limit-request/1", "limit-fanout/1000", "put/1", "put/64", "watch-create/100000", "watch-max/1000", "failover-hang", "keys-1000000", "idle-nodes"},
		Failed:   []string{"etcd range-100/64: too slow"},
		Profiles: []profileText{{"put/64", "leader", "flat lines", "cumulative lines"}},
	}
	add := func(row, system string, res result) {
		if res.Elapsed == 0 {
			res.Elapsed = time.Second
		}
		r.add(row, system, res)
	}
	for range 2 {
		add("limit-sync", limitSystem, result{Ops: 10, latency: latency{P50: 0.2}})
		add("limit-request/1", limitSystem, result{Ops: 10, latency: latency{P50: 0.2}})
		add("limit-fanout/1000", limitSystem, result{Ops: 1000})
		add("put/1", "kvorum", result{Ops: 10, latency: latency{P50: 0.9}})
		add("put/1", "etcd", result{Ops: 10, latency: latency{P50: 2}})
		add("put/64", "kvorum", result{Ops: 30_000, usage: usage{CPUSeconds: 3}})
		add("put/64", "etcd", result{Ops: 10_000, usage: usage{CPUSeconds: 2}, Errors: 1, ErrorTexts: map[string]int64{"no leader": 1}})
		add("watch-max/1000", "kvorum", result{Ops: 790, Watch: &watched{Puts: 1, Late: 3}})
		add("failover-hang", "kvorum", result{Ops: 1, Failover: &failedOver{Gap: 1500, ClientGap: 9000, Call: 10_000, Stuck: 5}})
		add("keys-1000000", "kvorum", result{Ops: 1_000_000, usage: usage{NodeAnonymous: 90e6}, Load: &loaded{Restarts: []float64{3, 1, 2}, DiskBytes: 3e6, Nodes: map[string]memory{"node-1": {1, 2}}}})
		add("idle-nodes", "kvorum", result{usage: usage{CPUSeconds: 0.005}})
	}
	add("watch-create/100000", "kvorum", result{Ops: 100_000, Watch: &watched{Lost: 7}})
	return r
}

func TestGoals(t *testing.T) {
	got := map[string][]string{}
	for _, line := range goalGrid(sample())[1:] {
		got[line[0]+" | "+line[3]] = append(line[1:3:3], line[4:]...)
	}
	for goal, want := range map[string][]string{
		"put, 1 client: p50 | x etcd":                              {"<= 0.50", "0.45", "yes", "111%"},
		"put, 1 client: p50 | x (disk sync + bus round trip)":      {"<= 2.50", "2.25", "yes", "111%"},
		"put, 64 clients | x etcd":                                 {">= 3.00", "3.00", "yes", "100%"},
		"put, 64 clients: CPU/10k | x etcd":                        {"<= 0.33", "0.50", "no", "67%"},
		"put, 64 clients | x JetStream unsynced":                   {">= 1.00", "not measured", "", ""},
		"watch, 1000 watchers | x bare NATS fan-out":               {">= 0.80", "0.79", "no", "99%"},
		"watch, 100,000 watchers: not reached by a put | watchers": {"<= 0", "7.00", "no", "0%"},
		"watch: deliveries lost | events":                          {"<= 0", "7.00", "no", "0%"},
		"watch: deliveries repeated | events":                      {"<= 0", "0", "yes", "100%"},
		"hung leader: longest gap | ms":                            {"<= 1600", "1500", "yes", "107%"},
		"hung leader: clients stuck | clients":                     {"<= 0", "5.00", "no", "0%"},
		"keys-1000000: anonymous memory of a node | MB":            {"<= 100", "90.0", "yes", "111%"},
		"keys-1000000: cold restart of all three | s":              {"<= 1.00", "2.00", "no", "50%"},
		"idle: three nodes | % of a core":                          {"<= 1.00", "0.50", "yes", "200%"},
	} {
		if !reflect.DeepEqual(got[goal], want) {
			t.Errorf("%s: %q, not %q", goal, got[goal], want)
		}
	}
}

func TestEveryRowIsShown(t *testing.T) {
	o, err := flags(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range o.names() {
		shown := 0
		for _, table := range tables() {
			r := &report{Rows: []string{name}}
			r.add(name, "kvorum", result{Elapsed: time.Second})
			if table.grid(r) != nil {
				shown++
			}
		}
		if shown != 1 {
			t.Errorf("%s is in %d tables", name, shown)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	want := sample()
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, saved %+v", got, want)
	}
}

func TestPrint(t *testing.T) {
	var w strings.Builder
	sample().print(&w)
	for _, want := range []string{
		"\nWrites\n", "FAILED etcd range-100/64: too slow", "etcd put/64: 2 errors in all repeats: no leader", "\nGoals\n", "79%",
	} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("%q is not in:\n%s", want, w.String())
		}
	}
}

func TestMarkdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	page := func() string {
		t.Helper()
		if err := sample().saveMarkdown(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := page()
	for _, want := range []string{
		"# Performance\n", "- Machine: 2 x CPU\n", "- Command: bench --rows x\n", "- Date: 2026-11-23 10:00 UTC, 2 repeats in 1m0s", "etcd 3.7.3",
		"| goal | wanted |", "| put/64 | kvorum | 30000 |", "### put/64: leader\n\n```\nflat lines\n```", "cumulative lines", "FAILED etcd range-100/64",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in:\n%s", want, first)
		}
	}
	for line := range strings.Lines(first) {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "\t") {
			t.Errorf("a cell with a tab: %s", line)
		}
	}
	if again := page(); again != first {
		t.Errorf("the second page differs:\n%s", again)
	}
	const words = "\n\nWhat would take it further: less work.\n"
	if err := os.WriteFile(path, []byte("old "+byHand+words), 0o644); err != nil {
		t.Fatal(err)
	}
	if kept := page(); !strings.HasSuffix(kept, byHand+words) || strings.HasPrefix(kept, "old") {
		t.Errorf("what was written by hand is not kept:\n%s", kept)
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recorded.json")
	now := sample()
	var w strings.Builder
	if err := compare(&w, path, now); err != nil || !strings.Contains(w.String(), "Nothing to compare with") {
		t.Fatalf("%v: %s", err, w.String())
	}
	if err := record(path, now); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		now.Results["put/64"]["kvorum"] = opsIn(20_000, 20_000)
	}
	w.Reset()
	if err := compare(&w, path, now); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.String(), "2026-11-23") || !strings.Contains(w.String(), "-33%, beyond the spread") {
		t.Errorf("compared: %s", w.String())
	}
	if err := record(path, &report{}); err == nil {
		t.Error("nothing was recorded without an error")
	}
}

func TestDifference(t *testing.T) {
	for _, x := range []struct {
		was, now figure
		want     string
	}{
		{figure{2, 1.9, 2.1}, figure{2.05, 2, 2.2}, "+2%"},
		{figure{2, 1.9, 2.1}, figure{1, 0.9, 1.1}, "-50%, beyond the spread"},
		{figure{2, 1.9, 2.1}, figure{3, 2.9, 3.1}, "+50%, beyond the spread"},
	} {
		if got := difference(x.was, x.now); got != x.want {
			t.Errorf("%v to %v: %s, not %s", x.was, x.now, got, x.want)
		}
	}
}
