//go:build linux

package main

import (
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
)

// meter counts what clients meet, and the longest times without success, for the
// whole run and for the faults that are under way.
type meter struct {
	begin time.Time

	mu        sync.Mutex
	total     counts
	lastWrite time.Time
	lastRead  time.Time
	windows   map[*window]bool
}

// counts are of operations; times are in nanoseconds as JSON.
type counts struct {
	Writes         int64            `json:"writes"`         // acknowledged
	Reads          int64            `json:"reads"`          // linearizable ones that were answered
	UnknownWrites  int64            `json:"unknown_writes"` // whose outcome their client did not learn
	Errors         map[string]int64 `json:"errors"`         // by kind
	LongestNoWrite time.Duration    `json:"longest_no_write_ns"`
	LongestNoRead  time.Duration    `json:"longest_no_read_ns"`
}

// window is the counts of a span of time.
type window struct{ counts }

func newMeter() *meter {
	now := time.Now()
	return &meter{begin: now, total: newCounts(), lastWrite: now, lastRead: now, windows: map[*window]bool{}}
}

func newCounts() counts { return counts{Errors: map[string]int64{}} }

// open begins a window; a silence that has begun counts from its own beginning.
func (m *meter) open() *window {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &window{newCounts()}
	m.windows[w] = true
	return w
}

// close ends a window.
func (m *meter) close(w *window) counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.windows, w)
	now := time.Now()
	w.LongestNoWrite = max(w.LongestNoWrite, now.Sub(m.lastWrite))
	w.LongestNoRead = max(w.LongestNoRead, now.Sub(m.lastRead))
	return w.counts
}

// resume says that clients begin to work: the silence before is nobody's fault.
func (m *meter) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastWrite = time.Now()
	m.lastRead = m.lastWrite
}

func (m *meter) each(f func(c *counts)) {
	f(&m.total)
	for w := range m.windows {
		f(&w.counts)
	}
}

func (m *meter) wrote() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	gap := now.Sub(m.lastWrite)
	m.lastWrite = now
	m.each(func(c *counts) { c.Writes++; c.LongestNoWrite = max(c.LongestNoWrite, gap) })
}

func (m *meter) read() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	gap := now.Sub(m.lastRead)
	m.lastRead = now
	m.each(func(c *counts) { c.Reads++; c.LongestNoRead = max(c.LongestNoRead, gap) })
}

func (m *meter) unknown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.each(func(c *counts) { c.UnknownWrites++ })
}

func (m *meter) failed(err error) {
	kind := string(api.KindOf(err))
	if kind == "" {
		kind = "other"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.each(func(c *counts) { c.Errors[kind]++ })
}

// snapshot is the totals of the run.
func (m *meter) snapshot() counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}
