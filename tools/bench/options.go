package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

type options struct {
	rows, systems           []string
	clients, watchers       []int
	time                    time.Duration
	repeat                  int
	keys, loadKeys          int
	valueBytes              int
	dir, bin, from          string
	json, markdown          string
	compare, record         string
	profiles                string
	profileRows             []string
	rowTimeout, loadTimeout time.Duration
	limit, quiet            time.Duration
}

// usual are the rows of a run that names none, with the systems that they are
// for: together they hold every goal and end in a bounded time. The rest of
// JetStream's rows says little and takes long. Those that are measured once are
// so in the first repeat only.
var usual = []usualRows{
	{rows: "limit-sync limit-request/1 limit-request/64 limit-request/256 limit-fanout/100 limit-fanout/1000 limit-fanout/10000"},
	{rows: "put/1 put/64 put/256 compare-and-put/64 get-serializable/64"},
	{rows: "idle idle-nodes get/1 get/64 get/256 range-100/64 txn-4/64 lease-*", systems: []string{"kvorum", "etcd"}},
	// JetStream stops at 1000 by default.
	{rows: "watch-max/1000 watch-max/10000 watch-latency/10000 watch-create/10000", systems: []string{"kvorum", "etcd"}},
	{rows: "watch-max/100 watch-latency/1 failover-*", systems: []string{"kvorum", "etcd", "js-always"}},
	{rows: "watch-create/100000 keys-*", systems: []string{"kvorum", "etcd"}, once: true},
}

type usualRows struct {
	rows    string
	systems []string // nil for all
	once    bool
}

func flags(args []string) (o options, err error) {
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.StringSliceVar(&o.rows, "rows", nil, "rows to measure, as patterns: 'put/*', get/64, 'watch-*', '*'; a usual choice if empty")
	f.StringSliceVar(&o.systems, "systems", systemNames, "systems to compare")
	f.IntSliceVar(&o.clients, "clients", []int{1, 16, 64, 256}, "clients of the closed loops")
	f.IntSliceVar(&o.watchers, "watchers", []int{1, 100, 1000, 10_000, 100_000}, "watchers of the watch rows")
	f.DurationVar(&o.time, "time", 3*time.Second, "time of each measurement")
	f.IntVar(&o.repeat, "repeat", 3, "repeats of everything, systems in turn")
	f.DurationVar(&o.limit, "limit", 0, "begin no repeat that would not end in this time; 0: no limit")
	f.DurationVar(&o.quiet, "quiet", 3*time.Second, "time for the background work of a fill to end before anything is measured")
	f.IntVar(&o.keys, "keys", 100_000, "keys that the loops write and read")
	f.IntVar(&o.loadKeys, "load-keys", 1_000_000, "keys of the keys row")
	f.IntVar(&o.valueBytes, "value-bytes", 256, "size of a value")
	f.DurationVar(&o.rowTimeout, "row-timeout", 2*time.Minute, "bound for a row besides its measurement")
	f.DurationVar(&o.loadTimeout, "load-timeout", 20*time.Minute, "bound for the keys row")
	f.StringVar(&o.dir, "dir", "", "folder for the data; a temporary one if empty")
	f.StringVar(&o.bin, "bin", "", "folder with the servers' programs; built if empty")
	f.StringVar(&o.json, "json", "", "file for all measurements as JSON")
	f.StringVar(&o.markdown, "markdown", "", "file for a page; what stands in it by hand at its end stays")
	f.StringVar(&o.from, "from", "", "measure nothing and show the measurements of this JSON file")
	f.StringVar(&o.record, "record", "", "file for the ratios to etcd of this run")
	f.StringVar(&o.compare, "compare", "", "file with recorded ratios to print beside those of this run")
	f.StringVar(&o.profiles, "profiles", "", "folder for CPU profiles of our processes, from another run of the row that does not count")
	f.StringSliceVar(&o.profileRows, "profile-rows", []string{"*"}, "rows to profile, of those that are measured")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("arguments that are no flags: %s", strings.Join(f.Args(), " "))
	}
	return o, o.check()
}

// check says what makes no sense, before anything is built or started.
func (o options) check() error {
	for _, n := range slices.Concat(o.clients, o.watchers) {
		if n < 1 || n > 1_000_000 {
			return fmt.Errorf("%d clients or watchers: must be from 1 to 1,000,000", n)
		}
	}
	for _, n := range o.clients {
		if n >= clientsMax {
			return fmt.Errorf("%d clients: must be fewer than %d", n, clientsMax)
		}
	}
	switch {
	case o.time <= 0:
		return fmt.Errorf("--time %v: must be positive", o.time)
	case o.repeat < 1:
		return fmt.Errorf("--repeat %d: must be at least 1", o.repeat)
	case o.keys < fillBatch:
		return fmt.Errorf("--keys %d: must be at least %d, for the ranges", o.keys, fillBatch)
	case o.loadKeys < fillBatch:
		return fmt.Errorf("--load-keys %d: must be at least %d", o.loadKeys, fillBatch)
	case o.valueBytes < 8 || o.valueBytes > 15_000:
		return fmt.Errorf("--value-bytes %d: must be from 8, which a time takes, to 15000, of which 100 fit in a transaction", o.valueBytes)
	case len(o.systems) == 0:
		return errors.New("--systems is empty")
	}
	for _, name := range o.systems {
		if _, err := systemOf(name, ""); err != nil {
			return err
		}
	}
	return errors.Join(o.checkPatterns("--rows", o.rows), o.checkPatterns("--profile-rows", o.profileRows))
}

// checkPatterns refuses patterns that no row matches.
func (o options) checkPatterns(flag string, patterns []string) error {
	all := o.names()
	for _, p := range patterns {
		if _, err := path.Match(flat(p), ""); err != nil {
			return fmt.Errorf("%s %s: %w", flag, p, err)
		}
		if !slices.ContainsFunc(all, func(name string) bool { return matches(p, name) }) {
			return fmt.Errorf("%s %s matches no row; with these --clients, --watchers and --load-keys there are %s", flag, p, strings.Join(all, " "))
		}
	}
	return nil
}

// names are the names of all rows that there are.
func (o options) names() (names []string) {
	for _, l := range limitRows(o.clients, o.watchers) {
		names = append(names, l.name)
	}
	for _, r := range rowsOf(o) {
		names = append(names, r.name)
	}
	return names
}

// wanted tells whether a row is to be measured on a system in a repeat, from 0.
func (o options) wanted(row, system string, repeat int) bool {
	if o.rows != nil {
		return matchesAny(o.rows, row)
	}
	return slices.ContainsFunc(usual, func(u usualRows) bool {
		return matchesAny(strings.Fields(u.rows), row) && (u.systems == nil || slices.Contains(u.systems, system)) && (repeat == 0 || !u.once)
	})
}

func matchesAny(patterns []string, row string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, row) })
}

// matches: a * stands for anything, slashes included.
func matches(pattern, row string) bool {
	ok, _ := path.Match(flat(pattern), flat(row))
	return ok
}

func flat(name string) string { return strings.ReplaceAll(name, "/", ":") }
