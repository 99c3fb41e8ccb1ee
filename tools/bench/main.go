package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

type options struct {
	rows, systems  []string
	clients        []int
	watchers       []int
	time           time.Duration
	repeat         int
	keys, loadKeys int
	valueBytes     int
	dir, out, bin  string
	profiles       string
}

func main() {
	var o options
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.StringSliceVar(&o.rows, "rows", []string{"*"}, "rows to measure, as patterns: put/*, get/64, watch-*, failover-*, keys-*, limit-*")
	f.StringSliceVar(&o.systems, "systems", []string{"kvorum", "etcd", "js-always", "js-default"}, "systems to compare")
	f.IntSliceVar(&o.clients, "clients", []int{1, 16, 64, 256}, "clients of the closed loops")
	f.IntSliceVar(&o.watchers, "watchers", []int{1, 100, 1000, 10000}, "watchers of the watch rows")
	f.DurationVar(&o.time, "time", 5*time.Second, "time of each measurement")
	f.IntVar(&o.repeat, "repeat", 3, "repeats of everything, systems in turn")
	f.IntVar(&o.keys, "keys", 100_000, "keys that the loops write and read")
	f.IntVar(&o.loadKeys, "load-keys", 1_000_000, "keys of the load row")
	f.IntVar(&o.valueBytes, "value-bytes", 256, "size of a value")
	f.StringVar(&o.dir, "dir", "", "folder for the data; a temporary one if empty")
	f.StringVar(&o.out, "json", "", "file for all measurements as JSON")
	f.StringVar(&o.profiles, "profiles", "", "folder for CPU profiles of our servers during each row")
	f.StringVar(&o.bin, "bin", "", "folder with the servers' programs; built if empty")
	if err := f.Parse(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp(o.dir, "kvorum-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.bin == "" {
		if o.bin, err = build(ctx, dir); err != nil {
			return err
		}
	}
	rep := &report{Date: time.Now(), Command: "bench " + strings.Join(os.Args[1:], " "), Machine: machine()}
	for n := range o.repeat {
		if err := measureLimits(ctx, o, filepath.Join(dir, fmt.Sprint("limits", n)), rep); err != nil {
			return err
		}
		for _, name := range o.systems {
			s, err := systemOf(name, o.bin)
			if err != nil {
				return err
			}
			if err := measure(ctx, o, dir, s, rep); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	rep.print(os.Stdout, append([]string{"limit"}, o.systems...))
	if o.out != "" {
		return rep.save(o.out)
	}
	return nil
}

func systemOf(name, bin string) (system, error) {
	switch name {
	case "kvorum":
		return &kvorum{bin: bin}, nil
	case "etcd":
		return &etcd{bin: bin}, nil
	case "js-always", "js-default":
		return &jetstream{bin: bin, synced: name == "js-always"}, nil
	}
	return nil, fmt.Errorf("unknown system %q", name)
}

// wanted tells whether a row was asked for.
func (o options) wanted(name string) bool {
	return slices.ContainsFunc(o.rows, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok || pattern == "*" || strings.HasSuffix(pattern, "*") && strings.HasPrefix(name, strings.TrimSuffix(pattern, "*"))
	})
}

// measure runs all wanted rows on one system, those that break it last.
func measure(ctx context.Context, o options, dir string, s system, rep *report) error {
	all := append(loadRows(o.clients), leaseRow, idleRow)
	all = append(append(append(all, watchRows(o.watchers)...), failoverRows()...), loadRow(o.loadKeys))
	rows := slices.DeleteFunc(all, func(r row) bool { return !o.wanted(r.name) })
	if len(rows) == 0 {
		return nil
	}
	b := &bench{dir: dir, time: o.time, keys: o.keys, value: []byte(strings.Repeat("x", o.valueBytes))}
	home := filepath.Join(dir, s.name())
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(home)
	defer s.stop()
	if err := s.start(ctx, home); err != nil {
		return err
	}
	if err := b.fill(ctx, s, o.keys); err != nil {
		return fmt.Errorf("writing the keys: %w", err)
	}
	for _, r := range rows {
		if !s.has(r.needs) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s %s\n", s.name(), r.name)
		profiled := profile(ctx, s, o, r.name)
		res, err := r.run(ctx, b, s)
		profiled()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		rep.add(r.name, s.name(), res)
	}
	return nil
}

func measureLimits(ctx context.Context, o options, dir string, rep *report) error {
	l := &limits{bin: o.bin}
	type limit struct {
		name string
		run  func() (result, error)
	}
	list := []limit{{"limit-sync", func() (result, error) { return l.disk(ctx, o.time) }}}
	for _, n := range o.clients {
		list = append(list, limit{fmt.Sprintf("limit-request/%d", n), func() (result, error) { return l.request(ctx, n, o.time) }})
	}
	for _, n := range o.watchers {
		list = append(list, limit{fmt.Sprintf("limit-fanout/%d", n), func() (result, error) { return l.fan(ctx, n, o.time) }})
	}
	list = slices.DeleteFunc(list, func(l limit) bool { return !o.wanted(l.name) })
	if len(list) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer l.group.kill()
	if err := l.start(dir); err != nil {
		return err
	}
	for _, x := range list {
		fmt.Fprintln(os.Stderr, x.name)
		res, err := x.run()
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		rep.add(x.name, "limit", res)
	}
	return ctx.Err()
}

// build makes the programs of all systems: ours in their own module, the others
// in this one, which names their versions.
func build(ctx context.Context, dir string) (string, error) {
	root, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kvorum/kvorum")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin")
	flags := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o"}
	for _, b := range []struct {
		dir  string
		args []string
	}{
		{"", []string{filepath.Join(bin, "etcd"), "go.etcd.io/etcd/server/v3"}},
		{"", []string{filepath.Join(bin, "nats-server"), "github.com/nats-io/nats-server/v2"}},
		{strings.TrimSpace(root), []string{bin + "/", "./services/node/cmd/kvorum-node", "./services/watch/cmd/kvorum-watch"}},
	} {
		fmt.Fprintln(os.Stderr, "building", b.args[1])
		if _, err := command(ctx, b.dir, "go", slices.Concat(flags, b.args)...); err != nil {
			return "", err
		}
	}
	return bin, nil
}

func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
