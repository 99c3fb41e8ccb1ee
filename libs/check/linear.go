package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Linearizable holds requests and answers against what the documentation
// promises of a store:
//
//   - The events are those of one store: revisions without gap, each whole.
//   - Each revision was made by one request (or is of Others, or something
//     expired), once, and is exactly what that does to the revision before:
//     what was acknowledged is there, at its revision, and what was refused is
//     not.
//   - Each answer is in all of its fields the one that its request has at its
//     revision.
//   - There is an order of all requests, without serializable reads and reads of
//     a named revision, that respects time: what was answered before another was
//     asked comes before it. An unknown outcome may have come at any time after
//     its first attempt, and what no event tells of never came.
//   - A read that is left out of that order has a state that was there by the
//     time of its answer.
//   - What is read by its number is not below a revision that was compacted
//     before, nor refused unless it is.
//
// The events tell the store at every revision, so an answer's revision gives its
// place in the order, and the search (porcupine's) is over short windows.
func Linearizable(h History) error {
	o, ordered, reads, err := h.order()
	if err != nil {
		return err
	}
	if err := o.weakReads(ordered, reads); err != nil {
		return err
	}
	if err := inTime(ordered); err != nil {
		return err
	}
	return o.windows(ordered)
}

// order judges each request by itself, and puts them in the order of their
// places; reads that may be of the past are apart.
func (h *History) order() (o *owners, ordered, reads []*call, err error) {
	t, err := newTimeline(h.Start, h.Events)
	if err != nil {
		return nil, nil, nil, err
	}
	answered, unknown, refused, err := h.calls()
	if err != nil {
		return nil, nil, nil, err
	}
	o, placed, err := t.findOwners(h, answered, unknown, refused)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := o.refusals(placed, refused); err != nil {
		return nil, nil, nil, err
	}
	for _, c := range placed {
		if weak(c.Request) {
			reads = append(reads, c)
		} else {
			ordered = append(ordered, c)
		}
	}
	slices.SortStableFunc(ordered, func(a, b *call) int {
		switch c := cmp.Compare(a.revision, b.revision); {
		case c != 0:
			return c
		case a.made != b.made && a.made:
			return -1
		case a.made != b.made:
			return 1
		}
		return cmp.Compare(a.from, b.from)
	})
	return o, ordered, reads, nil
}

// inTime demands of each call that it was not answered before one was asked that
// comes before it in the order. Calls of one place may come in any order.
func inTime(ordered []*call) error {
	var last, here *call // the last to be asked: in earlier places, in this place
	for i, c := range ordered {
		if i > 0 && !c.samePlace(ordered[i-1]) {
			if last == nil || here.from > last.from {
				last = here
			}
			here = nil
		}
		if last != nil {
			if c.floor = last.from; c.until < c.floor {
				return fmt.Errorf("stale: revision %d had been seen: %s; later this was asked and is of revision %d: %s", c.revision, c.Op, last.revision, last.Op)
			}
		}
		if here == nil || c.from > here.from {
			here = c
		}
	}
	return nil
}

// samePlace: nothing in the answers says which came first.
func (c *call) samePlace(d *call) bool { return c.revision == d.revision && c.made == d.made }

// windowOps is how many operations porcupine looks at together, or few more.
const windowOps = 200

// windows lets porcupine judge the order, cut into windows where a revision
// tells the state. Within one place a cut does no harm, for the calls there are
// sorted by time, unless compactions are there, whose order is open.
func (o *owners) windows(ordered []*call) error {
	state := place{revision: o.start}
	for len(ordered) > 0 {
		n, sensitive := 1, ordered[0].sensitive()
		for ; n < len(ordered); n++ {
			c := ordered[n]
			if !c.samePlace(ordered[n-1]) {
				sensitive = false
				if n >= windowOps {
					break
				}
			}
			if sensitive = sensitive || c.sensitive(); n >= windowOps && !sensitive && !anySensitive(ordered[n:]) {
				break
			}
		}
		if err := o.window(ordered[:n], &state); err != nil {
			return err
		}
		ordered = ordered[n:]
	}
	return nil
}

// anySensitive looks at the calls of the first one's place.
func anySensitive(calls []*call) bool {
	for _, c := range calls {
		if !c.samePlace(calls[0]) {
			return false
		}
		if c.sensitive() {
			return true
		}
	}
	return false
}

// sensitive: whether it may be depends on what is compacted.
func (c *call) sensitive() bool {
	_, compaction := c.Request.(*kvpb.CompactRequest)
	return compaction || c.oldest != 0
}

// place is the state of the search. What is linearized of the window, and of the
// place those that compactions do not matter to, follows from the order: all of a
// place come before the next, and what changes nothing may as well come in the
// order in which it was asked. To say so keeps the search short.
type place struct {
	revision, compacted int64
	done, turn          int
}

// undecidedAfter bounds the search in one window, which takes a millisecond.
const undecidedAfter = time.Minute

// window judges calls that find the store in a state, which it brings on. They
// come after all that were before, so none takes effect before the last of those
// was asked.
func (o *owners) window(calls []*call, state *place) error {
	history := make([]porcupine.Operation, len(calls))
	state.done = 0
	for i, c := range calls {
		if i > 0 && c.samePlace(calls[i-1]) {
			c.start, c.turn = calls[i-1].start, calls[i-1].turn
			if !calls[i-1].sensitive() {
				c.turn++
			}
		} else {
			c.start, c.turn = i, 0
		}
		history[i] = porcupine.Operation{ClientId: c.Client, Input: c, Call: max(c.from, calls[0].floor), Return: c.until}
	}
	model := porcupine.Model{
		Init: func() any { return *state },
		Step: func(s, input, _ any) (bool, any) {
			next, ok := o.step(s.(place), input.(*call))
			return ok, next
		},
	}
	switch porcupine.CheckOperationsTimeout(model, history, undecidedAfter) {
	case porcupine.Illegal:
		return fmt.Errorf("no order explains the answers between revisions %d and %d: %s", state.revision, calls[len(calls)-1].revision, names(calls))
	case porcupine.Unknown:
		return fmt.Errorf("undecided after %v: %s", undecidedAfter, names(calls))
	}
	state.revision = calls[len(calls)-1].revision
	for _, c := range calls {
		if q, ok := c.Request.(*kvpb.CompactRequest); ok {
			state.compacted = max(state.compacted, q.Revision)
		}
	}
	return nil
}

// step is one operation on the store.
func (o *owners) step(s place, c *call) (place, bool) {
	to := c.revision
	if c.made {
		to-- // where it must find the store
	}
	for rev := s.revision + 1; rev <= to; rev++ {
		if o.made[o.place(rev)] != nil {
			return s, false // another's turn
		}
	}
	if s.done == c.start {
		s.turn = 0
	}
	if to < s.revision || s.done < c.start || c.oldest != 0 && c.oldest < s.compacted {
		return s, false
	}
	if !c.sensitive() {
		if s.turn != c.turn {
			return s, false
		}
		s.turn++
	}
	s.done++
	s.revision = c.revision
	if q, ok := c.Request.(*kvpb.CompactRequest); ok {
		if q.Revision <= s.compacted {
			return s, false
		}
		s.compacted = q.Revision
	}
	return s, true
}

// names are some of the calls. Time alone has been looked at before (inTime), so
// those that depend on compactions say more.
func names(calls []*call) string {
	some := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !c.sensitive() })
	if len(some) == 0 {
		some = calls
	}
	s := ""
	for _, c := range some[:min(len(some), 20)] {
		s += c.Op.String() + "; "
	}
	return s
}
