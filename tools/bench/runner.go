package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// runner runs the rows of one repeat on one system.
type runner struct {
	options
	report *report
	system system
	dir    string
	turn   int // the repeat, from 0

	*bench
	running  bool
	clusters int
}

func (r *runner) all(ctx context.Context) {
	rows := slices.DeleteFunc(rowsOf(r.options), func(x row) bool {
		return !r.wanted(x.name, r.system.name(), r.turn) || !r.system.has(x.needs)
	})
	defer r.end()
	for _, x := range rows {
		if ctx.Err() != nil {
			return
		}
		if err := r.prepare(ctx, x); err != nil {
			r.report.fail(x.name, r.system.name(), fmt.Errorf("starting: %w", err))
			return
		}
		fmt.Fprintln(os.Stderr, r.system.name(), x.name)
		res, err := r.one(ctx, x)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.report.fail(x.name, r.system.name(), err)
		} else {
			r.report.add(x.name, r.system.name(), res)
			r.profileOf(ctx, x)
		}
		if err != nil || x.fresh {
			r.end() // the next row has a new cluster
		}
	}
}

// prepare has a cluster run that the row can use.
func (r *runner) prepare(ctx context.Context, x row) error {
	if r.running && !x.fresh {
		return nil
	}
	r.end()
	r.bench = newBench(r.options)
	r.clusters++
	r.home = filepath.Join(r.dir, fmt.Sprint(r.system.name(), r.clusters))
	if err := os.MkdirAll(r.home, 0o700); err != nil {
		return err
	}
	r.running = true
	if err := r.system.start(ctx, r.home); err != nil || x.fresh {
		return err
	}
	if err := r.fill(ctx, r.system, r.bench.keys); err != nil {
		return err
	}
	sleep(ctx, r.bench.quiet)
	return nil
}

// end kills the cluster and removes its data.
func (r *runner) end() {
	if r.running {
		r.system.stop()
		os.RemoveAll(r.home)
		r.running = false
	}
}

func (r *runner) one(ctx context.Context, x row) (result, error) {
	limit := r.rowTimeout + 2*r.bench.time
	if x.fresh {
		limit = r.loadTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done in %v", limit))
	defer cancel()
	res, err := x.run(ctx, r.bench, r.system)
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return res, err
}

// profileOf runs a row of ours once more, for its profiles.
func (r *runner) profileOf(ctx context.Context, x row) {
	ours, ok := r.system.(*kvorum)
	if !ok || r.turn > 0 || r.profiles == "" || x.breaks || !matchesAny(r.profileRows, x.name) {
		return
	}
	p := profiler{r.profiles, r.bench.time}
	plain := r.bench.profile
	r.bench.profile = func(ctx context.Context) func() { return p.begin(ctx, ours, x.name) }
	_, err := r.one(ctx, x)
	r.bench.profile = plain
	var texts []profileText
	if err == nil {
		texts, err = p.summaries(ctx, x.name)
	}
	r.report.Profiles = append(r.report.Profiles, texts...)
	if err != nil {
		r.report.fail(x.name+", profiled", ours.name(), err)
	}
}
