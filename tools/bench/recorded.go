package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"
)

// recorded is what a later run is held against: our ratios to etcd, which depend
// less on the machine than the figures do.
type recorded struct {
	Date    time.Time                 `json:"date"`
	Command string                    `json:"command"`
	Machine string                    `json:"machine"`
	Ratios  map[string]recordedRatios `json:"ratios"` // by row
}

// recordedRatios are ours : etcd's.
type recordedRatios struct {
	Throughput figure `json:"throughput"`
	CPU        figure `json:"cpuPerOperation"`
}

// ratiosOf are of all rows that both systems have.
func ratiosOf(r *report) recorded {
	rec := recorded{r.Date, r.Command, r.Machine, map[string]recordedRatios{}}
	for _, row := range r.Rows {
		ours, theirs := r.Results[row]["kvorum"], r.Results[row]["etcd"]
		ops, ok1 := ratio(ours, theirs, result.perSecond)
		cpu, ok2 := ratio(ours, theirs, result.cpuPer10k)
		if ok1 && ok2 {
			rec.Ratios[row] = recordedRatios{ops, cpu}
		}
	}
	return rec
}

// record writes the ratios of a run, in the place of what was there.
func record(path string, r *report) error {
	rec := ratiosOf(r)
	if len(rec.Ratios) == 0 {
		return errors.New("nothing to record: no row has results of kvorum and of etcd")
	}
	return saveJSON(path, rec)
}

// compare prints the ratios of a run beside the recorded ones.
func compare(w io.Writer, path string, r *report) error {
	var old recorded
	err := readJSON(path, &old)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(w, "\nNothing to compare with: %s is not there; --record writes it\n", path)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nRatios to etcd, recorded on %s: %s\n", old.Date.UTC().Format(time.DateOnly), old.Machine)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tops/s then\tnow\tdifference\tCPU then\tnow\tdifference")
	now := ratiosOf(r)
	for _, row := range r.Rows {
		x, ok := now.Ratios[row]
		if !ok {
			continue
		}
		was, known := old.Ratios[row]
		if !known {
			fmt.Fprintf(t, "%s\t-\t%v\t\t-\t%v\t\n", row, x.Throughput, x.CPU)
			continue
		}
		fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%v\t%v\t%s\n", row, was.Throughput, x.Throughput, difference(was.Throughput, x.Throughput),
			was.CPU, x.CPU, difference(was.CPU, x.CPU))
	}
	return t.Flush()
}

// difference is how much the median changed, and whether that is more than the
// repeats differ among themselves.
func difference(was, now figure) string {
	text := fmt.Sprintf("%+.0f%%", (over(now.Median, was.Median)-1)*100)
	if now.High < was.Low || now.Low > was.High {
		text += ", beyond the spread"
	}
	return text
}
