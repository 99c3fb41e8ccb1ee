package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// profileText is a CPU profile's summary.
type profileText struct {
	Row     string `json:"row"`
	Process string `json:"process"`
	// Flat and Cumulative are the first lines in those orders.
	Flat       string `json:"flat"`
	Cumulative string `json:"cumulative"`
}

// profileLines is how many functions a summary has.
const profileLines = 7

// profiler saves CPU profiles of our processes, as DIR/ROW.PROCESS.pprof.
type profiler struct {
	dir  string
	time time.Duration
}

// begin starts profiles of all processes; the caller calls wait afterwards.
func (p profiler) begin(ctx context.Context, k *kvorum, row string) (wait func()) {
	names, err := k.roles(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no profiles:", err)
		return func() {}
	}
	var wg sync.WaitGroup
	for i, process := range k.group.procs {
		wg.Go(func() {
			if err := saveProfile(ctx, k.profiled[process.name], max(p.time, time.Second), p.path(row, names[i])); err != nil {
				fmt.Fprintln(os.Stderr, "no profile of", names[i]+":", err)
			}
		})
	}
	return wg.Wait
}

func (p profiler) path(row, process string) string {
	return filepath.Join(p.dir, strings.ReplaceAll(row, "/", "-")+"."+process+".pprof")
}

// roles names our processes by what they do: the leader, two followers, and of
// the fan-outs the one that has done more and the spare.
func (k *kvorum) roles(ctx context.Context) ([]string, error) {
	leader, err := k.leader(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{"follower", "follower", "follower", "fan-out", "spare"}
	names[leader] = "leader"
	second := slices.Index(names[:3], "follower")
	names[second+1+slices.Index(names[second+1:3], "follower")] = "follower-2"
	if cpu := func(i int) float64 { return cpuOf(k.group.procs[i].cmd.Process.Pid) }; cpu(4) > cpu(3) {
		names[3], names[4] = names[4], names[3]
	}
	return names, nil
}

func saveProfile(ctx context.Context, address string, d time.Duration, path string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, int(d.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, b)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// summaries are the texts of a row's profiles, of one process of each kind.
func (p profiler) summaries(ctx context.Context, row string) (texts []profileText, err error) {
	for _, process := range []string{"leader", "follower", "fan-out"} {
		t := profileText{Row: row, Process: process}
		if t.Flat, err = p.top(ctx, row, process); err != nil {
			return texts, err
		}
		if t.Cumulative, err = p.top(ctx, row, process, "-cum"); err != nil {
			return texts, err
		}
		texts = append(texts, t)
	}
	return texts, nil
}

// fileLines are of the profile's file and of what is left out, and say nothing here.
var fileLines = regexp.MustCompile(`(?m)^((File|Build ID|Type|Time): |Showing |Dropped ).*\n`)

func (p profiler) top(ctx context.Context, row, process string, order ...string) (string, error) {
	args := slices.Concat([]string{"tool", "pprof", "-top", fmt.Sprint("-nodecount=", profileLines)}, order, []string{p.path(row, process)})
	out, err := command(ctx, "", "go", args...)
	return strings.TrimSpace(fileLines.ReplaceAllString(out, "")), err
}
