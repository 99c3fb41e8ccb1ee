package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// watching is the fan-out of a run, the client bus that it publishes on, and
// those who watch.
type watching struct {
	w        *world
	fanouts  []*fan
	routes   map[*fan][]*route // one for each node, in their order
	gates    map[*node]*gate   // of each node's client bus
	feeds    map[*node]*feed
	conns    []*conn
	watchers []*watcher
	watches  []*check.Watch
	// events and compactions are what was committed, as the first node applied it.
	events      []*kvpb.Event
	compactions []int64
}

// startWatchers starts the fan-out, watchers, and a client that writes a little
// of everything that is watched.
func (w *world) startWatchers(load int64) {
	b := &watching{w: w, routes: map[*fan][]*route{}, gates: map[*node]*gate{}, feeds: map[*node]*feed{}}
	w.watching = b
	for _, n := range w.nodes {
		b.gates[n] = &gate{w: w, running: n.whole, life: func() int { return n.life }}
		b.feeds[n] = &feed{n: n}
	}
	limits := fanout.Limits{
		QueueEvents: 4 << w.rng.IntN(8), Prefixes: 8 << w.rng.IntN(6), Tails: 4 << w.rng.IntN(5),
		Batch: 1 << w.rng.IntN(7), WindowEvents: 16 << w.rng.IntN(6), WindowBytes: 64 << 10,
	}
	for i := range 2 + w.rng.IntN(2) {
		f := newFan(w, "fan-out "+strconv.Itoa(i+1), limits)
		b.fanouts = append(b.fanouts, f)
		for _, n := range w.nodes {
			b.routes[f] = append(b.routes[f], &route{f: f, n: n, toNode: line{w: w}, toFanout: line{w: w}})
		}
		w.after(w.between(0, 500), f.start)
	}
	for range 3 * load {
		c := &watcher{w: w, b: b, slow: []int64{0, 0, 5, 30}[w.rng.IntN(4)]}
		b.watchers = append(b.watchers, c)
		w.after(w.between(0, 3000), c.next)
	}
	for range load {
		w.writeWatched(w.newClient())
	}
	w.after(50*ms, b.tend)
}

// tend lets routes and connections follow what became of their processes.
func (b *watching) tend() {
	for _, f := range b.fanouts {
		for _, r := range b.routes[f] {
			if r.up() && !r.n.up {
				r.broken()
			} else if !r.up() && r.n.up && f.up && !f.isolated && b.w.chance(10) {
				r.connect()
			}
		}
	}
	for _, c := range slices.Clone(b.watchers) {
		if k := c.conn; k != nil && (!k.n.up || k.n.life != k.life) {
			c.cutOff()
		}
	}
	b.w.after(50*ms, b.tend)
}

func (b *watching) route(f *fan, n *node) *route { return b.routes[f][n.id-1] }

// connected tells whether two replicas reach each other.
func (b *watching) connected(f, other *fan) bool {
	return f.up && other.up && !f.isolated && !other.isolated
}

// committed takes the events of an entry that was applied for the first time,
// and the compacted revision after it.
func (b *watching) committed(events []*kvpb.Event, compacted int64) {
	b.events = append(b.events, events...)
	if n := len(b.compactions); compacted > 0 && (n == 0 || b.compactions[n-1] < compacted) {
		b.compactions = append(b.compactions, compacted)
	}
}

// top is the newest revision that anybody knows of. A store begins with 1.
func (b *watching) top() int64 {
	if len(b.events) == 0 {
		return 1
	}
	return b.events[len(b.events)-1].Kv.ModRevision
}

// watched are the ranges that are watched.
var watched = []struct{ key, end string }{
	{"", "\x00"}, {"", "\x00"}, {"/w/", "/w0"}, {"/w/a/", "/w/a0"}, {"/w/a/b/", "/w/a/b0"}, {"/w/a", "/w/b"}, {"/w/a/1", "/w/a/3"},
	{"/w/a/1", ""}, {"/w/a", ""}, {"/w/1", ""}, {watchedKeys[len(watchedKeys)-1], ""}, {"/ttl/", "/ttl0"}, {"/w/none/", "/w/none0"},
}

// watchedKeys are what writeWatched writes; the last ones do not fit on a subject.
var watchedKeys = func() (keys []string) {
	for _, dir := range []string{"/w/", "/w/a/", "/w/a/b/", "x/"} {
		for i := range 4 {
			keys = append(keys, dir+strconv.Itoa(i))
		}
	}
	long := "/w/a/" + strings.Repeat("y", 1100)
	return append(keys, "/w/a", "/w/a/", long, long+"/z")
}()

// next begins a watch, or goes on with the one that it has on another
// connection; it drops it again after a while.
func (c *watcher) next() {
	w := c.w
	if w.ending && c.record != nil && !c.ended {
		return
	}
	switch {
	case c.record != nil && !c.ended && w.chance(70):
		w.report.Resumed++
		c.begin(c.record)
	default:
		c.record, c.ended, c.resumed = c.fresh(), false, false
		c.b.watches = append(c.b.watches, c.record)
		c.begin(c.record)
	}
	life := c.life
	w.after(w.between(100, 20_000), func() {
		if c.life == life && !w.ending {
			c.life++
			c.disconnect()
			c.next()
		}
	})
	w.after(w.between(0, 10_000), func() {
		if c.life != life || w.ending {
			return
		}
		switch w.rng.IntN(3) {
		case 0:
			c.cutOff()
		case 1:
			c.stall(w.between(10, 3000))
		}
	})
}

// fresh is a watch that has not begun: from now, or from somewhere.
func (c *watcher) fresh() *check.Watch {
	w, top := c.w, c.b.top()
	keys := watched[w.rng.IntN(len(watched))]
	record := &check.Watch{Name: strconv.Itoa(len(c.b.watches)), Key: []byte(keys.key), End: []byte(keys.end), Asked: w.now}
	compacted := int64(0)
	if n := len(c.b.compactions); n > 0 {
		compacted = c.b.compactions[n-1]
	}
	var since api.Position
	switch w.rng.IntN(7) {
	case 0, 1:
		return record
	case 2: // the compacted revision
		since = api.End(max(compacted, 1) - 1)
	case 3: // below it
		since = api.End(max(compacted-1-w.rng.Int64N(20), 1) - 1)
	case 4: // one that does not exist yet
		since = api.End(top + w.rng.Int64N(30))
	case 5: // inside a revision
		since = api.Position{Revision: compacted + w.rng.Int64N(max(top-compacted, 0)+1), Sub: w.rng.Int64N(4)}
	default: // somewhere
		since = api.End(compacted + w.rng.Int64N(max(top-compacted, 0)+1))
	}
	record.Since = &since
	return record
}

// writeWatched writes a revision after the other: single keys, several at a
// time, now and then all of them, and deletes.
func (w *world) writeWatched(c *client) {
	if w.ending {
		return
	}
	n := []int{1, 1, 1, 2, 5, len(watchedKeys)}[w.rng.IntN(6)]
	txn := &kvpb.TxnRequest{}
	for _, i := range w.rng.Perm(len(watchedKeys))[:n] {
		key := []byte(watchedKeys[i])
		op := &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: key, Value: []byte(strconv.FormatInt(w.id(), 10))}}}
		if w.chance(30) {
			op = &kvpb.RequestOp{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeRequest{Key: key}}}
		}
		txn.Success = append(txn.Success, op)
	}
	c.write(&command.Command{Op: &command.Command_Txn{Txn: txn}}, func(mvcc.Result, int64) {
		pause := w.between(50, 600)
		if w.chance(30) {
			pause = 0 // a burst
		}
		w.after(pause, func() { w.writeWatched(c) })
	})
}

// endWatches heals the fan-out and tells what a watch has not delivered yet.
func (w *world) endWatches() error {
	b := w.watching
	for _, f := range b.fanouts {
		f.start()
		f.resume()
		if f.isolated {
			f.isolate(false)
		}
	}
	if len(b.events) == 0 {
		return nil
	}
	last := b.events[len(b.events)-1]
	end := api.Position{Revision: last.Kv.ModRevision, Sub: last.Sub}
	for _, c := range b.watchers {
		if c.record == nil || c.ended {
			continue
		}
		n := len(c.record.Steps)
		if n == 0 || end.After(c.record.Steps[n-1].Through) {
			if n > 0 {
				return fmt.Errorf("watch %s stands at %v, the history at %v", c.record.Name, c.record.Steps[n-1].Through, end)
			}
			if c.record.Since != nil && !end.After(*c.record.Since) {
				continue
			}
			return fmt.Errorf("watch %s has delivered nothing, the history is at %v", c.record.Name, end)
		}
	}
	return nil
}

// checkWatches judges all watches.
func (w *world) checkWatches() error {
	b := w.watching
	for _, c := range b.watchers {
		if c.record != nil && !c.ended {
			c.record.Ended = true
		}
	}
	list := make([]check.Watch, len(b.watches))
	for i, r := range b.watches {
		list[i] = *r
	}
	w.report.Checks += len(list)
	return check.Watches(b.events, b.compactions, list)
}
