package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/kvorum/kvorum/libs/svc"
)

// options are the flags of kvorum dev.
type options struct {
	nodes      int // 0: as the data folder was made, or three
	fanouts    int
	dataDir    string
	clientPort int // of node-1, the next ones for the others; 0: free ports
	logLevel   string
}

// defaultNodes is the size of a new cluster.
const defaultNodes = 3

// Main runs "kvorum dev" with the arguments after "dev" until ctx ends or a
// SIGINT, SIGTERM or SIGHUP comes, and returns the exit code: 0 after a stop
// that was asked for, 1 for a failure, 2 for wrong usage.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return svc.ExitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "kvorum dev: %v (try --help)\n", err)
		return svc.ExitUsage
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// After the first signal a second one ends the process at once, and with
	// it the children.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, opts, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "kvorum dev: %v\n", err)
		return svc.ExitFailure
	}
	return svc.ExitOK
}

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	fs := pflag.NewFlagSet("kvorum dev", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(stdout)
	fs.Usage = func() {
		fmt.Fprintf(stdout, "usage: kvorum dev [flags]\nRuns a whole cluster on this machine until interrupted; data is kept.\n%s", fs.FlagUsages())
	}
	fs.IntVar(&o.nodes, "nodes", 0, "storage nodes: 1, 3, 5 or 7 (default: as the data folder was made, or 3)")
	fs.StringVar(&o.dataDir, "data-dir", "data", "folder for data, logs, pid files and the secret")
	fs.IntVar(&o.fanouts, "fanouts", 1, "replicas of the watch fan-out, 0 to 3")
	fs.IntVar(&o.clientPort, "client-port", 4222, "client port of node-1, the next ones for the others; 0: any free ports")
	fs.StringVar(&o.logLevel, "log-level", "info", "least level that is logged: debug, info, warn, error")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case fs.Changed("nodes") && !slices.Contains([]int{1, 3, 5, 7}, o.nodes):
		return o, fmt.Errorf("--nodes %d: a cluster has 1, 3, 5 or 7", o.nodes)
	case o.fanouts < 0 || o.fanouts > 3:
		return o, fmt.Errorf("--fanouts %d: want 0 to 3", o.fanouts)
	case o.clientPort < 0 || o.clientPort > 65535-7:
		return o, fmt.Errorf("--client-port %d is no port", o.clientPort)
	case o.dataDir == "":
		return o, errors.New("--data-dir is empty")
	}
	_, err := svc.NewLogger(io.Discard, o.logLevel)
	return o, err
}

// run prepares the data folder, checks all that can be checked before a child
// runs, and runs the cluster.
func run(ctx context.Context, opts options, stdout, stderr io.Writer) error {
	nodeProgram, err := findProgram("kvorum-node")
	if err != nil {
		return err
	}
	watchProgram, err := findProgram("kvorum-watch")
	if err != nil {
		return err
	}
	l, unlock, err := openLayout(opts)
	if err != nil {
		return err
	}
	defer unlock()
	c := newCluster(stdout, stderr)
	c.add(l.nodeChildren(nodeProgram, opts.logLevel)...)
	c.add(l.fanoutChildren(watchProgram, opts)...)
	return c.run(ctx, l.announce(), func(ctx context.Context) error { return waitReady(ctx, l, opts.fanouts > 0, stderr) })
}

// findProgram finds one of the product's binaries: beside the running one,
// where the build leaves it, or on the PATH.
func findProgram(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("%s is neither in %s nor on the PATH: build all binaries with make build", name, filepath.Dir(self))
}
