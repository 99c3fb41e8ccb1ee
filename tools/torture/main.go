//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kvorum/kvorum/libs/svc"
)

func main() { svc.Main("torture", run) }

// run reads the command line, builds what is tortured, and tortures it in a
// process of its own.
func run(ctx context.Context, args []string) error {
	fs := svc.Flags("torture")
	var o options
	fs.DurationVar(&o.time, "time", time.Minute, "how long faults are injected")
	fs.DurationVar(&o.phase, "phase", 2*time.Minute, "how long clients work before what they saw is judged")
	fs.StringSliceVar(&o.faults, "faults", nil, "kinds of faults, of: "+kindNames()+" (default all)")
	fs.Uint64Var(&o.seed, "seed", 0, "decides which faults come when (default a fresh one)")
	fs.IntVar(&o.rate, "rate", 500, "requests a second")
	fs.StringVar(&o.bin, "bin", "", "folder with kvorum-node, kvorum-watch and kvorum (default: built from this repository)")
	fs.StringVar(&o.dir, "dir", "", "folder of the run, kept on failure (default a fresh one)")
	fs.StringVar(&o.disk, "disk", "power", "disks of the nodes: power, which can fail, or host, which are this machine's")
	fs.StringVar(&o.mutant, "mutant", "", "builds the services with this planted mistake (docs/track-record.md), which has to be found")
	fs.BoolVar(&o.containers, "containers", false, "tortures the stack of docker-compose.yml instead; to be run from the repository")
	fs.StringVar(&o.reportFile, "report", "", "file for the report as JSON")
	if err := svc.Parse(fs, args); err != nil {
		return err
	}
	if os.Getenv(isolated) != "" {
		return tortured(ctx, o)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1 << 32)
		args = append(args, "--seed", strconv.FormatUint(o.seed, 10))
	}
	if err := removeLeftovers(); err != nil {
		return err
	}
	dir, err := makeDir(o.dir)
	if err != nil {
		return err
	}
	args = append(args, "--dir", dir)
	if o.bin == "" {
		if err := build(ctx, dir, o.mutant); err != nil {
			return err
		}
		args = append(args, "--bin", dir)
	}
	return isolate(ctx, args, !o.containers)
}

// tortured is the part that runs isolated. It prints the report and leaves the
// folder where there is something to look at.
func tortured(ctx context.Context, o options) error {
	say("seed %d, in %s", o.seed, o.dir)
	t := &torture{options: o}
	err := t.work(ctx)
	if t.report == nil {
		return err
	}
	switch {
	case err != nil:
		t.report.Verdict = "FAILED: " + err.Error()
		t.report.Evidence = o.dir
	case ctx.Err() != nil:
		t.report.Verdict = "interrupted, nothing wrong until then"
	default:
		t.report.Verdict = "passed: no acknowledged write was lost, no read was stale"
	}
	t.report.print(os.Stdout)
	if o.reportFile != "" {
		err = errors.Join(err, t.report.write(o.reportFile))
	}
	if t.report.Evidence == "" {
		return errors.Join(err, os.RemoveAll(o.dir))
	}
	return errors.Join(err, t.report.write(filepath.Join(o.dir, "report.json")), os.Remove(filepath.Join(o.dir, runningFile)))
}

func kindNames() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return strings.Join(names, ",")
}

// The programs.
const (
	nodeProgram  = "github.com/kvorum/kvorum/services/node/cmd/kvorum-node"
	watchProgram = "github.com/kvorum/kvorum/services/watch/cmd/kvorum-watch"
	commandLine  = "github.com/kvorum/kvorum/tools/kvorum"
)

// build builds them.
func build(ctx context.Context, dir, mutant string) error {
	tags := ""
	if mutant != "" {
		tags = "mutants"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", dir+"/", nodeProgram, watchProgram, commandLine)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // they may run in containers
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the services: %w\n%s", err, out)
	}
	return nil
}

// runningFile is in a run's folder while it runs, with the number of its process.
const runningFile = "running"

// dirPattern is how folders of runs are named, where no other is given.
const dirPattern = "kvorum-torture-*"

func makeDir(dir string) (string, error) {
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", dirPattern); err != nil {
			return "", err
		}
	} else if err = os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	} else if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return "", errors.Join(svc.Usagef("--dir %s is not empty: the torture removes it when it has passed", dir), err)
	}
	return dir, os.WriteFile(filepath.Join(dir, runningFile), []byte(strconv.Itoa(os.Getpid())), 0o600)
}

// removeLeftovers removes the folders of runs that were killed.
func removeLeftovers() error {
	files, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern, runningFile))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		pid, invalid := strconv.Atoi(string(b))
		if err != nil || invalid != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		if err := os.RemoveAll(filepath.Dir(f)); err != nil {
			return err
		}
	}
	return nil
}
