package fanout

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// prefixes knows the position of the last event under each prefix and key, or a
// later bound. It is a set-associative table of fixed size: what it forgets, the
// least recently changed of a set, raises the bound of all that the set does not
// hold. Prefixes are told apart by a 64-bit hash; two of the same hash share a
// position, which is the later one and so a bound for both.
type prefixes struct {
	slots  []slot         // len(bounds) sets of setSlots
	bounds []api.Position // of what a set does not hold
}

type slot struct {
	tag  uint64 // 0: unused
	last api.Position
}

const setSlots = 8

// newPrefixes makes a table for about n prefixes, for events after start.
func newPrefixes(n int, start api.Position) *prefixes {
	sets := 1
	for sets*setSlots < n {
		sets *= 2
	}
	t := &prefixes{slots: make([]slot, sets*setSlots), bounds: make([]api.Position, sets)}
	for i := range t.bounds {
		t.bounds[i] = start
	}
	return t
}

// record notes an event at p under the prefix and gives the position of the one
// before it, or a later bound. Positions of one prefix never go back.
func (t *prefixes) record(tag uint64, p api.Position) (previous api.Position) {
	n := int(tag % uint64(len(t.bounds)))
	set := t.slots[n*setSlots : (n+1)*setSlots]
	victim := &set[0]
	for i := range set {
		s := &set[i]
		if s.tag == tag {
			previous, s.last = s.last, p
			return previous
		}
		if victim.last.After(s.last) {
			victim = s
		}
	}
	previous = t.bounds[n]
	if victim.last.After(previous) && !mutant.Is(mutant.BoundForgotten) {
		t.bounds[n] = victim.last
	}
	*victim = slot{tag: tag, last: p}
	return previous
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// appendTags gives the tags of the prefixes that an event is under, from the
// root to the deepest, and of the key itself, last.
func (at place) appendTags(tags []uint64, key []byte) []uint64 {
	h := uint64(fnvOffset)
	tags = append(tags, tag(h, '>'))
	for i := range len(at.tokens) {
		if at.tokens[i] == '.' {
			tags = append(tags, tag(h, '>'))
		}
		h = (h ^ uint64(at.tokens[i])) * fnvPrime
	}
	if !at.full {
		for _, b := range key {
			h = (h ^ uint64(b)) * fnvPrime
		}
	}
	return append(tags, tag(h, '='))
}

// tag ends a hash, kind telling a prefix from the key of the same tokens, and
// spreads it over all bits.
func tag(h uint64, kind byte) uint64 {
	h = (h ^ uint64(kind)) * fnvPrime
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return max(h, 1)
}
