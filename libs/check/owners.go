package check

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// owners says which call made each revision, and whether what it did and what it
// was told is what its request does to the store as it was.
type owners struct {
	*timeline
	h    *History
	made []*call // of start+1 and so on; nil: nobody's, or not made by a request
	// seen is when a revision was known to exist at the latest: the first return
	// of a call that saw it or a later one.
	seen []int64
	// compacted is the highest revision that was surely compacted before.
	compacted []int64
}

func (o *owners) place(revision int64) int { return int(revision - o.start - 1) }

// findOwners judges all that were answered one by one, and finds out which of
// the unknown took effect. It adds those to the answered.
func (t *timeline) findOwners(h *History, answered, unknown []*call, refused []*Op) (*owners, []*call, error) {
	o := &owners{timeline: t, h: h, made: make([]*call, len(t.revisions)), seen: make([]int64, len(t.revisions)), compacted: make([]int64, len(t.revisions))}
	for _, c := range answered {
		if err := o.claim(c); err != nil {
			return nil, nil, err
		}
	}
	o.look(answered)
	m := o.candidates(unknown)
	for i := range o.made {
		if o.made[i] != nil || !o.needsOwner(i) {
			continue
		}
		if !m.match(i, map[*call]bool{}) {
			return nil, nil, o.nobodys(i, answered, unknown, refused)
		}
	}
	for c, i := range m.taken { // in any order: they have nothing to do with each other
		c.revision, c.made, c.until = o.start+1+int64(i), true, min(c.until, o.seen[i])
		r, _, err := o.do(c.Op, c.revision-1)
		if err != nil {
			return nil, nil, err
		}
		c.oldest, o.made[i] = r.oldest, c
	}
	for _, c := range o.made {
		if c != nil && c.Response == nil {
			answered = append(answered, c)
		}
	}
	return o, answered, nil
}

// claim holds an answer against the store.
func (o *owners) claim(c *call) error {
	if c.Err != nil {
		return o.compared(c)
	}
	var ok bool
	if c.revision, ok = revisionOf(c.Response); !ok || c.revision < o.start {
		return fmt.Errorf("the answer has no revision, or one from before the history: %s", c.Op)
	}
	if c.revision > o.end() {
		return fmt.Errorf("lost: the history ends at revision %d, but an answer had %d: %s", o.end(), c.revision, c.Op)
	}
	made, sure := changed(c.Response)
	if !sure && c.revision > o.start {
		r, _, err := o.do(c.Op, c.revision-1)
		made = err == nil && len(r.events) > 0 && eventsDiffer(o.events(c.revision), r.events) == nil
	}
	before := c.revision
	if made {
		if before--; before < o.start {
			return fmt.Errorf("the revision is from before the history: %s", c.Op)
		}
		i := o.place(c.revision)
		if other := o.made[i]; other != nil {
			return fmt.Errorf("two requests have made revision %d: %s; %s", c.revision, other.Op, c.Op)
		}
		o.made[i], c.made = c, true
	}
	r, want, err := o.do(c.Op, before)
	if err != nil {
		return fmt.Errorf("it had to be refused: %w: %s", err, c.Op)
	}
	c.oldest = r.oldest
	if made {
		if err := eventsDiffer(o.events(c.revision), r.events); err != nil {
			return fmt.Errorf("what happened at revision %d is not what was asked for: %w: %s", c.revision, err, c.Op)
		}
	}
	if err := differs(c.Request, c.Response, want, c.Repeated); err != nil {
		return fmt.Errorf("wrong answer: %w: %s", err, c.Op)
	}
	if !made && len(r.events) > 0 {
		return fmt.Errorf("the answer says that nothing changed, at revision %d something had to: %s", c.revision, c.Op)
	}
	if q, ok := c.Request.(*kvpb.RangeRequest); ok && c.revision < q.MinRevision {
		return fmt.Errorf("the read is of revision %d, at least %d was asked for: %s", c.revision, q.MinRevision, c.Op)
	}
	return nil
}

// compared holds a refusal because of what a key was against the store.
func (o *owners) compared(c *call) error {
	var e *api.Error
	errors.As(c.Err, &e)
	if c.revision = e.Revision; c.revision < o.start || c.revision > o.end() {
		return fmt.Errorf("the history has no revision %d: %s", c.revision, c.Op)
	}
	if e.Kind == api.KindNotFound {
		if _, _, err := o.do(c.Op, c.revision); err == nil {
			return fmt.Errorf("refused as not found, which revision %d has: %s", c.revision, c.Op)
		}
		return nil
	}
	is := o.get(string(c.key()), c.revision).GetModRevision()
	if is == *c.IfRevision || is != e.ModRevision {
		return fmt.Errorf("the key's mod revision was %d at revision %d, refused as %d: %s", is, c.revision, e.ModRevision, c.Op)
	}
	return nil
}

// look fills seen and compacted.
func (o *owners) look(answered []*call) {
	for i := range o.seen {
		o.seen[i] = math.MaxInt64
	}
	for _, c := range answered {
		if i := o.place(c.revision); i >= 0 {
			o.seen[i] = min(o.seen[i], c.until)
		}
	}
	for i := len(o.seen) - 2; i >= 0; i-- {
		o.seen[i] = min(o.seen[i], o.seen[i+1])
	}
	for _, c := range answered {
		q, ok := c.Request.(*kvpb.CompactRequest)
		if i := o.place(c.revision) + 1; ok && i < len(o.compacted) {
			o.compacted[i] = max(o.compacted[i], q.Revision)
		}
	}
	for i := 1; i < len(o.compacted); i++ {
		o.compacted[i] = max(o.compacted[i], o.compacted[i-1])
	}
}

// needsOwner: a recorded request must have made it.
func (o *owners) needsOwner(place int) bool {
	for _, ev := range o.revisions[place] {
		if !ev.Expired && (o.h.Others == nil || !o.h.Others(ev.Kv.Key)) {
			return true
		}
	}
	return false
}

// matching gives revisions to calls with an unknown outcome, each to one.
type matching struct {
	*owners
	puts  map[string][]*call // by key and value that they put, in the order of their calls
	loose []*call            // whose effect no value tells
	taken map[*call]int
}

func (o *owners) candidates(unknown []*call) *matching {
	m := &matching{owners: o, puts: map[string][]*call{}, taken: map[*call]int{}}
	unknown = slices.Clone(unknown)
	slices.SortStableFunc(unknown, func(a, b *call) int { return cmp.Compare(a.from, b.from) })
	for _, c := range unknown {
		if _, ok := c.Request.(*kvpb.CompactRequest); ok {
			continue // it leaves no event
		}
		marked, loose := m.marks(c.Request)
		for _, mark := range marked {
			m.puts[mark] = append(m.puts[mark], c)
		}
		if loose {
			m.loose = append(m.loose, c)
		}
	}
	return m
}

// marks are the puts of a request; loose: it may also change something without.
func (m *matching) marks(request proto.Message) (marked []string, loose bool) {
	switch q := request.(type) {
	case *kvpb.PutRequest:
		if q.IgnoreValue {
			return nil, true
		}
		return []string{mark(q.Key, q.Value)}, false
	case *kvpb.TxnRequest:
		for _, ops := range [][]*kvpb.RequestOp{q.Success, q.Failure} {
			for _, op := range ops {
				more, l := []string(nil), op.GetDeleteRange() != nil
				if op.GetPut() != nil {
					more, l = m.marks(op.GetPut())
				} else if op.GetTxn() != nil {
					more, l = m.marks(op.GetTxn())
				}
				marked, loose = append(marked, more...), loose || l
			}
		}
		return marked, loose
	}
	return nil, true
}

func mark(key, value []byte) string { return string(key) + "\x00" + string(value) }

// match finds a call for a revision, and for that moves others to other
// revisions that they fit as well.
func (m *matching) match(place int, tried map[*call]bool) bool {
	var found []*call
	for _, ev := range m.revisions[place] {
		if ev.Type == kvpb.Event_PUT {
			found = append(found, m.puts[mark(ev.Kv.Key, ev.Kv.Value)]...)
		}
	}
	for _, c := range append(found, m.loose...) {
		if tried[c] || c.from > m.seen[place] || !m.fits(c.Op, place) {
			continue
		}
		tried[c] = true
		if other, ok := m.taken[c]; !ok || m.match(other, tried) {
			m.taken[c] = place
			return true
		}
	}
	return false
}

// fits: a request made a revision, for all that its events tell.
func (o *owners) fits(op *Op, place int) bool {
	r, _, err := o.do(op, o.start+int64(place))
	return err == nil && len(r.events) > 0 && eventsDiffer(o.revisions[place], r.events) == nil &&
		(r.oldest == 0 || r.oldest >= o.compacted[place])
}

// nobodys explains a revision that nobody can have made.
func (o *owners) nobodys(place int, answered, unknown []*call, refused []*Op) error {
	what := fmt.Sprintf("nobody made revision %d: %s", o.start+1+int64(place), showEvents(o.revisions[place]))
	for _, op := range refused {
		if o.fits(op, place) || o.puts(op.Request, place) {
			return fmt.Errorf("%s; but this was refused: %s", what, op)
		}
	}
	for _, c := range slices.Concat(answered, unknown) {
		if !o.puts(c.Request, place) && !o.fits(c.Op, place) {
			continue
		}
		switch {
		case c.made || slices.Contains(o.made, c):
			return fmt.Errorf("%s; but this, which made revision %d already: %s", what, c.revision, c.Op)
		case c.from > o.seen[place]:
			return fmt.Errorf("%s; but this, which was asked after somebody had seen it: %s", what, c.Op)
		default:
			return fmt.Errorf("%s; nor is it what this does: %s", what, c.Op)
		}
	}
	return fmt.Errorf("%s", what)
}

// puts: the request puts a value that the revision has.
func (o *owners) puts(request proto.Message, place int) bool {
	marked, _ := (&matching{}).marks(request)
	for _, ev := range o.revisions[place] {
		if ev.Type == kvpb.Event_PUT && slices.Contains(marked, mark(ev.Kv.Key, ev.Kv.Value)) {
			return true
		}
	}
	return false
}
