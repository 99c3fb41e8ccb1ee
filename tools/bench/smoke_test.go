package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRows runs rows of every kind on a cluster of ours, for a moment each. It
// says nothing about speed.
func TestRows(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts servers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	bin := t.TempDir()
	if err := buildOurs(ctx, bin); err != nil {
		t.Fatal(err)
	}
	o, err := flags([]string{"--systems", "kvorum", "--time", "200ms", "--quiet", "200ms", "--repeat", "1", "--keys", "500", "--load-keys", "1000", "--clients", "8", "--watchers", "20",
		"--rows", "put/8,compare-and-put/8,get*/8,range-100/8,txn-4/8,lease-keepalive/64,watch-*,keys-1000"})
	if err != nil {
		t.Fatal(err)
	}
	o.bin = bin
	rep := &report{Rows: o.names()}
	(&runner{options: o, report: rep, system: &kvorum{bin: bin}, dir: t.TempDir()}).all(ctx)
	if rep.Failed != nil {
		t.Error(rep.Failed)
	}
	for _, name := range o.names() {
		if !o.wanted(name, "kvorum", 0) || name == "limit-sync" {
			continue
		}
		list := rep.Results[name]["kvorum"]
		if len(list) != 1 {
			t.Errorf("%s has %d results", name, len(list))
			continue
		}
		r := list[0]
		if r.Ops == 0 || r.CPUSeconds <= 0 || r.DriverCPU <= 0 || r.NodeAnonymous == 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if w := r.Watch; w != nil && (w.Puts == 0 || w.Lost > 0 || w.Repeated > 0) {
			t.Errorf("%s: %+v", name, *w)
		}
		if l := r.Load; l != nil && (len(l.Restarts) != coldRestarts || l.Watch < l.Restarts[coldRestarts-1] || l.DiskBytes == 0 || len(l.Nodes) != 5) {
			t.Errorf("%s: %+v", name, *l)
		}
	}
}

func TestProcessUsage(t *testing.T) {
	g := &group{}
	dir := t.TempDir()
	node := g.add(dir, "node", "sleep", "600")
	g.add(dir, "fan-out", "sh", "-c", `x=$(head -c 3000000 /dev/zero | tr "\0" x); while :; do :; done`).fanOut = true
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	busy := func() bool { u := g.usage(); return u.CPUSeconds > 0.02 && u.Anonymous > 3e6 }
	if err := poll(time.Minute, "CPU time and memory", busy); err != nil {
		t.Fatal(err)
	}
	all, nodes := g.usage(), g.nodes().usage()
	if all.Anonymous == 0 || all.NodeAnonymous == 0 || all.NodeAnonymous > 2e6 || all.NodeResident != nodes.Resident || nodes.Resident >= all.Resident {
		t.Errorf("all %+v, nodes %+v", all, nodes)
	}
	if driverCPU() <= 0 {
		t.Error("this program used no CPU")
	}
	node.signal(syscall.SIGKILL)
	if !node.wait(time.Minute) || cpuOf(node.cmd.Process.Pid) != 0 {
		t.Error("a process that has ended has CPU time")
	}
}

func TestDiskBytes(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 10_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := diskBytes(dir); n < 20_000 || n > 100_000 {
		t.Errorf("%d bytes", n)
	}
}

func TestPlaces(t *testing.T) {
	urls := []string{"a", "b", "c"}
	if got := from(urls, 4); !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Errorf("%v", got)
	}
	if got := without(urls, 1); got != "a,c" {
		t.Errorf("%v", got)
	}
	for connections, want := range map[int]int{1: 1, 7: 1, 64: 8, 256: 32} {
		if got := connectionsFor(connections); got != want {
			t.Errorf("%d clients have %d connections", connections, got)
		}
	}
}
