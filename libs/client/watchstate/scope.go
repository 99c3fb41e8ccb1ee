package watchstate

import (
	"bytes"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// Scope is what must be subscribed to for a range of keys: the smallest key or
// prefix that has a subject and covers the range.
type Scope struct {
	Events string // subject of the events
	Tail   string // subject of the tail
	// Depth is the element of Kv-Since that speaks of the scope: 0 is the whole
	// store, -1 the key itself, the last one.
	Depth int
	// Match tells which keys of the scope are in the range; nil: all.
	Match func(key []byte) bool
}

// ScopeOf is the scope of the one key where rangeEnd is empty, of all keys >= key
// where it is one zero byte, else of [key, rangeEnd).
func ScopeOf(key, rangeEnd []byte) Scope {
	switch {
	case len(rangeEnd) == 0:
		return scopeOfKey(key)
	case (len(key) == 0 || isZero(key)) && isZero(rangeEnd):
		return Scope{Events: api.SubjectWatch + ">", Tail: api.SubjectTailRoot}
	}
	match := func(k []byte) bool {
		return bytes.Compare(k, key) >= 0 && (isZero(rangeEnd) || bytes.Compare(k, rangeEnd) < 0)
	}
	prefix := commonPrefix(key, rangeEnd)
	for {
		prefix = prefix[:bytes.LastIndexByte(prefix, '/')+1]
		if tokens, err := subject.EncodePrefix(prefix); err == nil {
			s := scopeOfPrefix(tokens)
			if !bytes.Equal(prefix, key) || !bytes.Equal(rangeEnd, PrefixEnd(key)) {
				s.Match = match
			}
			return s
		}
		prefix = prefix[:len(prefix)-1]
	}
}

func scopeOfKey(key []byte) Scope {
	tokens, full := subject.Event(key)
	s := Scope{Events: api.SubjectWatch + tokens, Tail: api.SubjectTailKey + tokens, Depth: -1}
	if !full {
		// The subject is shared by all keys below the same ancestor that do not
		// fit, so that Kv-Since must be read for the ancestor.
		ancestor := strings.TrimSuffix(strings.TrimSuffix(tokens, subject.Below), ".")
		s = scopeOfPrefix(ancestor)
		s.Match = func(k []byte) bool { return bytes.Equal(k, key) }
	}
	return s
}

func scopeOfPrefix(tokens string) Scope {
	if tokens == "" {
		return Scope{Events: api.SubjectWatch + ">", Tail: api.SubjectTailRoot}
	}
	return Scope{
		Events: api.SubjectWatch + tokens + ".>",
		Tail:   api.SubjectTailUnder + tokens,
		Depth:  1 + strings.Count(tokens, "."),
	}
}

// PrefixEnd is the end of the range of all keys that begin with prefix: the
// first key after them, or one zero byte where there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return []byte{0}
}

// commonPrefix is what all keys in [key, rangeEnd) begin with.
func commonPrefix(key, rangeEnd []byte) []byte {
	if bytes.Equal(rangeEnd, PrefixEnd(key)) {
		return key
	}
	n := 0
	for n < len(key) && n < len(rangeEnd) && key[n] == rangeEnd[n] {
		n++
	}
	return key[:n]
}

func isZero(b []byte) bool { return len(b) == 1 && b[0] == 0 }
