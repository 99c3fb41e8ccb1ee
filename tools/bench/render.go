package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes the tables for a terminal.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", strings.Join(r.head(), "\n"))
	show := func(title string, grid [][]string) {
		fmt.Fprintf(w, "\n%s\n", title)
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		for _, line := range grid {
			fmt.Fprintln(t, strings.Join(line, "\t"))
		}
		t.Flush()
	}
	for _, t := range tables() {
		if grid := t.grid(r); grid != nil {
			show(t.title, grid)
		}
	}
	for _, line := range r.troubles() {
		fmt.Fprintln(w, line)
	}
	show("Goals", slices.DeleteFunc(goalGrid(r), func(line []string) bool { return line[2] == notMeasured }))
}

func (r *report) head() []string {
	return []string{
		"Machine: " + r.Machine,
		fmt.Sprintf("Date: %s UTC, %d repeats in %v", r.Date.UTC().Format("2006-01-02 15:04"), r.repeats(), r.Took.Round(time.Second)),
		"Command: " + r.Command,
		"Versions: " + strings.Join(r.Versions, ", "),
	}
}

// repeats is how many results the row with most of them has.
func (r *report) repeats() (n int) {
	for _, systems := range r.Results {
		for _, list := range systems {
			n = max(n, len(list))
		}
	}
	return n
}

// troubles are what failed and the errors of rows that did not.
func (r *report) troubles() (lines []string) {
	for _, f := range r.Failed {
		lines = append(lines, "FAILED "+f)
	}
	for _, row := range r.Rows {
		for _, system := range systemNames {
			texts := map[string]int64{}
			for _, res := range r.Results[row][system] {
				for text, n := range res.ErrorTexts {
					texts[text] += n
				}
			}
			for _, text := range slices.Sorted(maps.Keys(texts)) {
				lines = append(lines, fmt.Sprintf("%s %s: %d errors in all repeats: %s", system, row, texts[text], text))
			}
		}
	}
	return lines
}

// byHand is the line that begins what people wrote; a new report keeps it.
const byHand = "<!-- What follows is written by hand and kept. -->"

const markdownHead = `# Performance

Made by ` + "`make bench`" + ` (tools/bench, whose package documentation says what each row
does): three servers of each system as separate processes with durable writes on
one machine that also runs the load, one system after the other in every repeat.
js-always is JetStream KV with sync_interval: always, which is as durable as
etcd and Kvorum; js-default is not. Figures are medians over the repeats,
(low-high) beside some. CPU/10k is seconds of all servers for 10,000 operations,
Kvorum's two fan-out processes included.

`

// saveMarkdown writes the report as a page. What was written by hand stays.
func (r *report) saveMarkdown(path string) error {
	var w bytes.Buffer
	w.WriteString(markdownHead)
	for _, line := range r.head() {
		fmt.Fprintf(&w, "- %s\n", line)
	}
	show := func(title string, grid [][]string) {
		fmt.Fprintf(&w, "\n## %s\n\n", title)
		for i, line := range grid {
			fmt.Fprintf(&w, "| %s |\n", strings.Join(line, " | "))
			if i == 0 {
				fmt.Fprintf(&w, "|%s\n", strings.Repeat("---|", len(line)))
			}
		}
	}
	show("Goals", goalGrid(r))
	for _, t := range tables() {
		if grid := t.grid(r); grid != nil {
			show(t.title, grid)
		}
	}
	if lines := r.troubles(); lines != nil {
		fmt.Fprintf(&w, "\n## Errors\n\n```\n%s\n```\n", strings.Join(lines, "\n"))
	}
	if r.Profiles != nil {
		w.WriteString("\n## Where the time goes\n\nCPU profiles of our processes in a run of the row that does not count above.\n")
	}
	for _, p := range r.Profiles {
		fmt.Fprintf(&w, "\n### %s: %s\n\n```\n%s\n```\n\n```\n%s\n```\n", p.Row, p.Process, p.Flat, p.Cumulative)
	}
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	_, kept, _ := strings.Cut(string(before), byHand)
	fmt.Fprintf(&w, "\n%s%s", byHand, kept)
	if kept == "" {
		w.WriteString("\n")
	}
	return os.WriteFile(path, w.Bytes(), 0o644)
}
