package fanout

import (
	"slices"
	"sort"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// window holds the most recent events, in chunks that are dropped whole, oldest
// first. It belongs to one goroutine; the views it gives out do not change and
// may be read by any.
type window struct {
	events, bytes       int
	eventsMax, bytesMax int
	chunks              []*chunk
	from, to            api.Position
}

// chunk is written by append only, so that a view can read the part it knows.
type chunk struct {
	events [chunkEvents]*kvpb.Event
	n      int // final once another chunk follows
	bytes  int
}

const chunkEvents = 256

// View is the window as of one moment: every event after From and up to
// Through. It does not change.
type View struct {
	from, through api.Position
	chunks        []*chunk
	last          int // events in the last chunk
}

func newWindow(events, bytes int, start api.Position) *window {
	return &window{eventsMax: events, bytesMax: bytes, from: start, to: start}
}

func (w *window) through() api.Position { return w.to }

// add appends events, which are after through.
func (w *window) add(events []*kvpb.Event) {
	for _, e := range events {
		c := w.room()
		c.events[c.n] = e
		c.n++
		size := eventBytes(e)
		c.bytes += size
		w.bytes += size
		w.events++
		w.to = Reached(e)
	}
	w.evict()
}

// room gives the chunk for the next event. A chunk takes at most a sixteenth of
// the window's bytes, and one event.
func (w *window) room() *chunk {
	if n := len(w.chunks); n > 0 {
		if c := w.chunks[n-1]; c.n < chunkEvents && c.bytes < w.bytesMax/16 {
			return c
		}
	}
	// Copied, because views share the old slice, and so that nothing keeps
	// evicted chunks in memory.
	c := new(chunk)
	w.chunks = append(slices.Clone(w.chunks), c)
	return c
}

func (w *window) evict() {
	for len(w.chunks) > 1 && (w.bytes > w.bytesMax || w.events > w.eventsMax) {
		c := w.chunks[0]
		w.bytes -= c.bytes
		w.events -= c.n
		e := c.events[c.n-1]
		w.from = Reached(e)
		w.chunks = w.chunks[1:]
	}
}

// reach tells that there are no more events up to through.
func (w *window) reach(through api.Position) {
	if through.After(w.to) {
		w.to = through
	}
}

func (w *window) view() *View {
	v := &View{from: w.from, through: w.to, chunks: w.chunks}
	if n := len(w.chunks); n > 0 {
		v.last = w.chunks[n-1].n
	}
	return v
}

// From is the position after which the view has every event.
func (v *View) From() api.Position { return v.from }

// Through is the position up to which everything was published.
func (v *View) Through() api.Position { return v.through }

// chunk gives the events of the i-th chunk.
func (v *View) chunk(i int) []*kvpb.Event {
	if i == len(v.chunks)-1 {
		return v.chunks[i].events[:v.last]
	}
	return v.chunks[i].events[:v.chunks[i].n]
}

// Query asks for the events of a range after a position.
type Query struct {
	Range Range
	Since api.Position
	Limit int // events
	Bytes int // the page ends before it grows past this, after one event at least
}

// Page is a part of the history. The events are shared: do not change them.
type Page struct {
	Events []*kvpb.Event
	// Through: every event of the range after Query.Since up to here is given.
	Through api.Position
	// More: the view has events after Through, or Through is inside a revision
	// whose rest is not published yet.
	More bool
}

// History answers q; false if the view does not reach back to q.Since: ask the
// store. A since after Through gives an empty page that ends where it began.
// Without More a page never ends inside a revision.
func (v *View) History(q Query) (Page, bool) {
	if v.from.After(q.Since) && !mutant.Is(mutant.WindowOverflow) {
		return Page{}, false
	}
	page := Page{Through: q.Since}
	bytes := 0
	i := max(0, sort.Search(len(v.chunks), func(i int) bool { return positionOf(v.chunk(i)[0]).After(q.Since) })-1)
	for ; i < len(v.chunks); i++ {
		for _, e := range v.chunk(i) {
			if !positionOf(e).After(q.Since) || !q.Range.Contains(e.Kv.Key) {
				continue
			}
			bytes += eventBytes(e)
			if len(page.Events) > 0 && (len(page.Events) >= q.Limit || bytes > q.Bytes) {
				page.More = true
				return page, true
			}
			page.Events = append(page.Events, e)
			page.Through = Reached(e)
		}
	}
	if v.through.After(page.Through) {
		page.Through = v.through
	}
	page.More = page.Through.After(api.Position{}) && page.Through != api.End(page.Through.Revision)
	return page, true
}

// Last is the position of the last event in a range, or a later bound: where
// the view begins if it has none.
func (v *View) Last(r Range) api.Position {
	for i := len(v.chunks) - 1; i >= 0; i-- {
		for _, e := range slices.Backward(v.chunk(i)) {
			if r.Contains(e.Kv.Key) {
				return positionOf(e)
			}
		}
	}
	return v.from
}
