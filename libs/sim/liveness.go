package sim

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// Bounds of virtual time within which a cluster that is whole again must do
// what it promises.
const (
	// serveMillis: there is a leader, and a write is acknowledged.
	serveMillis = 20_000
	// endMillis: every node has caught up, and all that can run out has.
	endMillis = 60_000
)

// end heals the cluster, or only a quorum of it first, and demands progress.
func (w *world) end() {
	w.nemesis.over = true
	if w.o.HealCore > 0 && len(w.nodes) > 2 {
		w.leaveOutside(len(w.nodes) - len(w.nodes)/2 - 1)
	} else {
		w.tell("heal everything")
	}
	w.heal()
	w.ending = true
	w.mustServe()
	for _, n := range w.nodes {
		n.outside = false
	}
	w.heal()
	for _, n := range w.nodes {
		w.scrub(n) // what is damaged is found at last
	}
	w.mustServe()
	w.until(endMillis, w.unfinished)
	w.judge.end()
	for _, g := range groups {
		if g.check == nil || g.load(&w.o) == 0 {
			continue
		}
		w.report.Checks++
		if err := g.check(w); err != nil {
			w.fail("%s: %v", g.name, err)
		}
	}
}

// leaveOutside chooses nodes that are not healed at first, those that have lost
// data before others: a quorum that can go on without them is left.
func (w *world) leaveOutside(count int) {
	order := w.rng.Perm(len(w.nodes))
	for _, unsound := range []bool{true, false} {
		for _, i := range order {
			if n := w.nodes[i]; count > 0 && n.unsound() == unsound {
				w.tell("node %d is not healed yet", n.id)
				n.outside = true
				count--
			}
		}
	}
}

// mustServe: within a bounded time a write is acknowledged.
func (w *world) mustServe() {
	served := false
	put := &kvpb.PutRequest{Key: []byte("/alive"), Value: []byte{}}
	w.newClient().write(&command.Command{Op: &command.Command_Put{Put: put}}, func(res mvcc.Result, _ int64) {
		served = res.Err == nil
	})
	w.until(serveMillis, func() error {
		if !served {
			return fmt.Errorf("no write was acknowledged")
		}
		return nil
	})
}

// until lets time pass until nothing is missing any more, for a bounded time.
func (w *world) until(millis int64, missing func() error) {
	for end := w.now + millis*ms; ; w.run(100 * ms) {
		err := missing()
		if err == nil {
			return
		}
		if w.now >= end {
			w.fail("not within %d ms after healing: %v", millis, err)
		}
	}
}

// unfinished tells what has not come to its end yet.
func (w *world) unfinished() error {
	if err := w.judge.unfinished(); err != nil {
		return err
	}
	for _, g := range groups {
		if g.ended == nil || g.load(&w.o) == 0 {
			continue
		}
		if err := g.ended(w); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}
