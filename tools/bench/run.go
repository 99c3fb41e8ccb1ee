package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// run measures or reads what was measured, and shows it.
func run(ctx context.Context, o options) error {
	var rep *report
	var err error
	if o.from != "" {
		rep, err = readReport(o.from)
	} else {
		rep, err = measureAll(ctx, o)
	}
	if rep == nil || o.from != "" && err != nil {
		return err
	}
	rep.print(os.Stdout)
	if o.json != "" {
		err = errors.Join(err, rep.save(o.json))
	}
	if o.markdown != "" {
		err = errors.Join(err, rep.saveMarkdown(o.markdown))
	}
	if o.compare != "" {
		err = errors.Join(err, compare(os.Stdout, o.compare, rep))
	}
	if o.record != "" && err == nil {
		err = record(o.record, rep)
	}
	if err == nil && len(rep.Failed) > 0 {
		err = fmt.Errorf("%d rows failed", len(rep.Failed))
	}
	return err
}

// measureAll is all repeats. The report is as far as it came if there is an
// error.
func measureAll(ctx context.Context, o options) (*report, error) {
	dir, err := os.MkdirTemp(o.dir, "kvorum-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if o.bin == "" {
		if o.bin, err = build(ctx, dir); err != nil {
			return nil, err
		}
	}
	rep := &report{Date: time.Now(), Command: "bench " + strings.Join(os.Args[1:], " "), Machine: machine(), Systems: o.systems}
	if rep.Versions, err = versions(ctx, o.bin); err != nil {
		return nil, err
	}
	rep.Rows = slices.DeleteFunc(o.names(), func(name string) bool {
		return !slices.ContainsFunc(slices.Concat(o.systems, []string{limitSystem}), func(s string) bool { return o.wanted(name, s, 0) })
	})
	var longest time.Duration
	for n := range o.repeat {
		began := time.Now()
		if o.limit > 0 && began.Add(longest).Sub(rep.Date) > o.limit {
			fmt.Fprintf(os.Stderr, "%d repeats are what %v is enough for\n", n, o.limit)
			break
		}
		fmt.Fprintf(os.Stderr, "repeat %d of %d\n", n+1, o.repeat)
		measureLimits(ctx, o, dir, n, rep)
		for _, name := range from(o.systems, n) {
			s, err := systemOf(name, o.bin)
			if err != nil {
				return rep, err
			}
			r := &runner{options: o, report: rep, system: s, dir: dir, turn: n}
			r.all(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		longest = max(longest, time.Since(began))
	}
	rep.Took = time.Since(rep.Date)
	return rep, ctx.Err()
}

func measureLimits(ctx context.Context, o options, dir string, repeat int, rep *report) {
	rows := slices.DeleteFunc(limitRows(o.clients, o.watchers), func(l limitRow) bool { return !o.wanted(l.name, limitSystem, repeat) })
	if len(rows) == 0 {
		return
	}
	l := &limits{bench: newBench(o), bin: o.bin}
	l.home = filepath.Join(dir, limitSystem)
	defer os.RemoveAll(l.home)
	defer l.group.kill()
	if err := errors.Join(os.MkdirAll(l.home, 0o700), l.start(l.home)); err != nil {
		rep.fail(rows[0].name, limitSystem, err)
		return
	}
	for _, x := range rows {
		fmt.Fprintln(os.Stderr, x.name)
		res, err := x.run(ctx, l)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			rep.fail(x.name, limitSystem, err)
		default:
			rep.add(x.name, limitSystem, res)
		}
	}
}
