package mvcc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/tidwall/btree"
)

// segment is a run of consecutive live keys, from its first key on up to the
// next segment's. The first segment begins with the empty key, so that every key
// is of one. Their rows let a range be counted without a look at all of its keys.
//
// An entry writes a segment that it puts new keys into or deletes keys of once,
// however many commands do: with the TS of the first of them, and with what the
// later ones changed, so that any revision inside the entry has its count too. At
// its end a segment that has grown too large is split and one that has become
// small joins a neighbour; that has the TS of the end of the entry. Where the
// segments end depends on limits.segmentKeys, which may differ between nodes; no
// answer depends on it.
//
// A damaged row fails its checksum. One that is whole and wrong is found when
// its segment is split, which meets its keys, or when it has fewer than none.
//
// In memory there are the newest ones of all. A published segment does not change:
// an entry works on a copy.
type segment struct {
	first string
	keys  int64
	entry *segmentEntry // what the entry being applied does to it; nil for nothing
}

// segmentEntry is the part that one segment has in one entry.
type segmentEntry struct {
	steps  []segmentStep // in the order of their commands
	keys   int64         // after the last step
	shaped bool          // keys or bounds are others at the end of the entry
	gone   bool          // joined to the segment before it
}

// segmentStep is by how many keys a command changed a segment.
type segmentStep struct {
	command uint64 // its number in the entry
	change  int64
}

// appendSteps encodes all steps but the first, each as the number of its
// command (uvarint) and its change (varint).
func appendSteps(b []byte, steps []segmentStep) []byte {
	for _, s := range steps[min(1, len(steps)):] {
		b = binary.AppendVarint(binary.AppendUvarint(b, s.command), s.change)
	}
	return b
}

// segmentKeys is how many keys a segment has as of a TS that can see its row:
// the words and the tail are those of the row.
func segmentKeys(words [2]uint64, tail []byte, ts store.TS) (int64, error) {
	keys := int64(words[1])
	for len(tail) > 0 {
		command, n := binary.Uvarint(tail)
		change, m := binary.Varint(tail[max(n, 0):])
		if n <= 0 || m <= 0 || command >= store.MaxCommands {
			return 0, fmt.Errorf("%w: the steps of a segment %x", store.ErrCorrupt, tail)
		}
		if tail = tail[n+m:]; words[0] == ts.Index() && store.At(words[0], int(command)) > ts {
			keys -= change
		}
	}
	if keys < 0 {
		return 0, fmt.Errorf("%w: a segment of %d keys", store.ErrCorrupt, keys)
	}
	return keys, nil
}

// segments are all of them, as of the last entry applied and what has been
// applied since.
type segments struct {
	tree    *btree.BTreeG[*segment]
	shown   *btree.BTreeG[*segment] // a copy of tree to publish; nil: another has to be made
	touched []*segment              // that have an entry
	pivot   segment
}

// show is the segments as they are, for readers.
func (s *segments) show() *btree.BTreeG[*segment] {
	if s.shown == nil {
		s.shown = s.tree.Copy()
	}
	return s.shown
}

// openSegments reads the segments of a view as of the end of an entry.
func openSegments(view store.View) (segments, error) {
	less := func(a, b *segment) bool { return a.first < b.first }
	s := segments{tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
	var words [2]uint64
	var tail []byte
	err := scanRows(view, []byte{prefixSegment}, []byte{prefixSegment + 1}, words[:], &tail, func(stateKey []byte) (bool, error) {
		keys, err := segmentKeys(words, tail, 0)
		s.tree.Set(&segment{first: string(stateKey[1:]), keys: keys})
		return true, err
	})
	if err != nil {
		return s, err
	}
	if first, _ := s.tree.Min(); first != nil && first.first != "" {
		return s, fmt.Errorf("%w: the first segment is missing", store.ErrCorrupt)
	} else if first != nil {
		return s, nil
	}
	s.tree.Set(&segment{})
	it := view.Scan([]byte{prefixKey}, []byte{prefixKey + 1}, false)
	defer it.Close()
	if it.Next() {
		return s, errors.New("the data is of an earlier version of this program, which did not count keys: begin with an empty data directory")
	}
	return s, it.Err()
}

// of is the segment of a key.
func (s *segments) of(key []byte) (found *segment) {
	s.pivot.first = string(key)
	s.tree.Descend(&s.pivot, func(g *segment) bool {
		found = g
		return false
	})
	return found
}

// around are the segments before and after one; nil for none.
func (s *segments) around(g *segment) (before, after *segment) {
	s.tree.Descend(g, func(other *segment) bool {
		before = other
		return other == g
	})
	s.tree.Ascend(g, func(other *segment) bool {
		after = other
		return other == g
	})
	if before == g {
		before = nil
	}
	if after == g {
		after = nil
	}
	return before, after
}

// touch gives a segment a part in the entry, and returns the one to change.
func (s *segments) touch(g *segment) *segment {
	if g.entry == nil {
		g = &segment{first: g.first, keys: g.keys, entry: &segmentEntry{}}
		s.tree.Set(g)
		s.shown, s.touched = nil, append(s.touched, g)
	}
	return g
}

// reshape sets a segment's number of keys for the end of the entry.
func (s *segments) reshape(g *segment, keys int64) *segment {
	g = s.touch(g)
	g.keys, g.entry.shaped = keys, true
	return g
}

// count brings the segments in line with a change that a command keeps.
func (s *segments) count(v *version) {
	change := v.counts()
	if change == 0 {
		return
	}
	g := s.touch(s.of(v.key))
	g.keys += change
	e, command := g.entry, uint64(v.ts%store.MaxCommands)
	if n := len(e.steps); n > 0 && e.steps[n-1].command == command {
		e.steps[n-1].change += change
	} else {
		e.steps = append(e.steps, segmentStep{command, change})
	}
}

// counts is by how much the version changes the number of live keys. A deletion
// is of a key that was there.
func (v *version) counts() int64 {
	switch {
	case v.deleted:
		return -1
	case v.rec.version == 1:
		return 1
	}
	return 0
}

// writeSegments ends the part that the segments have in the entry at index,
// after its last command.
func (b *batch) writeSegments(index uint64) error {
	s := &b.m.segments
	if len(s.touched) == 0 {
		return nil
	}
	b.src.ts = store.EndOf(index)
	slices.SortFunc(s.touched, func(x, y *segment) int { return strings.Compare(x.first, y.first) })
	counted := s.touched
	for _, g := range counted {
		if g.entry.keys = g.keys; g.keys < 0 {
			return fmt.Errorf("%w: segment %q has %d keys", store.ErrCorrupt, g.first, g.keys)
		}
	}
	for _, g := range counted {
		if err := b.shape(g); err != nil {
			return err
		}
	}
	for _, g := range s.touched {
		b.writeSegment(g, index)
		g.entry = nil
	}
	s.touched = s.touched[:0]
	return nil
}

func (b *batch) writeSegment(g *segment, index uint64) {
	e, end := g.entry, b.src.ts
	key := appendSegmentKey(b.arena.alloc(1+len(g.first)), g.first)
	if len(e.steps) > 0 {
		// A version at the end of the entry takes the place of one with the same TS.
		if ts := store.At(index, int(e.steps[0].command)); ts < end || !e.shaped {
			row := b.row(key, appendSteps(nil, e.steps), index, uint64(e.keys))
			row.TS = ts
			b.muts = append(b.muts, row)
		}
	}
	if e.gone {
		b.muts = append(b.muts, deletion(key, end))
	} else if e.shaped {
		b.muts = append(b.muts, b.row(key, nil, index, uint64(g.keys)))
	}
}

// shape splits a segment, or joins it to a neighbour, if its size asks for it.
// Any two neighbours together have at least a quarter of what one may have.
func (b *batch) shape(g *segment) error {
	s, full := &b.m.segments, int64(b.m.limits.segmentKeys)
	if g.keys > full {
		return b.split(g)
	}
	if g.entry.gone || g.keys >= full/4 {
		return nil
	}
	before, after := s.around(g)
	if before != nil && before.keys+g.keys <= full/2 {
		return b.shape(s.join(before, g))
	} else if after != nil && g.keys+after.keys <= full/2 {
		return b.shape(s.join(g, after))
	}
	return nil
}

func (s *segments) join(g, after *segment) *segment {
	g = s.reshape(g, g.keys+after.keys)
	after = s.reshape(after, 0)
	after.entry.gone = true
	s.tree.Delete(after)
	return g
}

// split divides a segment into equal parts of at least half a full one.
func (b *batch) split(g *segment) error {
	s := &b.m.segments
	parts := g.keys / int64(b.m.limits.segmentKeys/2)
	end := []byte{0}
	if _, after := s.around(g); after != nil {
		end = []byte(after.first)
	}
	var met int64
	bounds := make([]string, 1, parts)
	err := b.src.scan([]byte(g.first), end, false, func(i *item) (bool, error) {
		if at := g.keys * int64(len(bounds)) / parts; met == at && met < g.keys {
			bounds = append(bounds, string(i.key))
		}
		met++
		return true, nil
	})
	if err != nil {
		return err
	}
	if met != g.keys {
		return fmt.Errorf("%w: segment %q has %d keys, not %d", store.ErrCorrupt, g.first, met, g.keys)
	}
	for n := int64(1); n <= parts; n++ {
		if n > 1 {
			g = &segment{first: bounds[n-1]}
		}
		s.reshape(g, met*n/parts-met*(n-1)/parts)
	}
	return nil
}

// count is the number of live keys in a request's range. It looks at the keys of
// the segments that the range begins and ends in, and at the rows of those
// between.
func (s *source) count(key, end []byte) (n int64, err error) {
	m, err := s.wholeSegments(key, end)
	if err != nil {
		return 0, err
	}
	if !m.found {
		return s.countKeys(key, end)
	}
	if n, err = s.countKeys(key, m.from); err != nil {
		return 0, err
	}
	if n += m.keys; m.to == nil {
		return n, nil
	}
	last, err := s.countKeys(m.to, end)
	return n + last, err
}

func (s *source) countKeys(key, end []byte) (n int64, err error) {
	err = s.scan(key, end, false, func(*item) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// middle is the part of a range that consists of whole segments, [from, to); to
// is nil where it goes to the end of the store.
type middle struct {
	found    bool
	from, to []byte
	keys     int64
}

// wholeSegments finds the segments that begin and end in a request's range.
func (s *source) wholeSegments(key, end []byte) (m middle, err error) {
	var from, to string
	var last int64
	err = s.segmentsFrom(key, end, func(first string, keys int64) {
		if m.keys += last; !m.found {
			m.found, from = true, first
		}
		to, last = first, keys
	})
	if err != nil {
		return middle{}, err
	}
	m.from = []byte(from)
	if isOpenEnd(end) {
		m.keys += last
	} else if m.to = []byte(to); from == to {
		return middle{}, nil
	}
	if s.over == nil || !m.found {
		return m, nil
	}
	for _, v := range s.over.between(m.from, m.to, s.ts) {
		for ; v != nil; v = v.older {
			m.keys += v.counts()
		}
	}
	return m, nil
}

// segmentsFrom calls fn for the segments that begin in a request's range or
// right behind it, as the view has them.
func (s *source) segmentsFrom(key, end []byte, fn func(first string, keys int64)) error {
	open := isOpenEnd(end)
	if s.segments != nil {
		behind := string(end)
		s.segments.Ascend(&segment{first: string(key)}, func(g *segment) bool {
			in := open || g.first <= behind
			if in {
				fn(g.first, g.keys)
			}
			return in
		})
		return nil
	}
	lower, upper := appendSegmentKey(nil, key), []byte{prefixSegment + 1}
	if !open {
		upper = append(appendSegmentKey(nil, end), 0)
	}
	var words [2]uint64
	var tail []byte
	return scanRows(s.view, lower, upper, words[:], &tail, func(stateKey []byte) (bool, error) {
		keys, err := segmentKeys(words, tail, s.ts)
		fn(string(stateKey[1:]), keys)
		return true, err
	})
}
