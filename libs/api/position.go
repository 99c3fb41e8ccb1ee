package api

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Position is an event's place in the history of the store: its revision and
// its place inside the revision, from 0. The zero Position is before every event.
type Position struct {
	Revision int64
	Sub      int64
}

// End is the position of the last possible event of a revision: everything up
// to End(r) includes all of r.
func End(revision int64) Position { return Position{revision, maxSub} }

const maxSub = 1<<31 - 1

// Compare is negative, zero or positive as p is before, at or after q.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.Revision, q.Revision); c != 0 {
		return c
	}
	return cmp.Compare(p.Sub, q.Sub)
}

// After reports whether p is after q.
func (p Position) After(q Position) bool { return p.Compare(q) > 0 }

// String is the text form, "revision.sub", or the revision alone for its end.
func (p Position) String() string {
	if p.Sub == maxSub {
		return strconv.FormatInt(p.Revision, 10)
	}
	return strconv.FormatInt(p.Revision, 10) + "." + strconv.FormatInt(p.Sub, 10)
}

// ParsePosition is the inverse of String, and takes no other form.
func ParsePosition(s string) (Position, error) {
	rev, sub, dotted := strings.Cut(s, ".")
	r, ok1 := parseDecimal(rev, math.MaxInt64)
	if !dotted && ok1 {
		return End(int64(r)), nil
	}
	n, ok2 := parseDecimal(sub, maxSub-1)
	if !ok1 || !ok2 {
		return Position{}, fmt.Errorf("position %.40q: want REVISION.SUB or REVISION", s)
	}
	return Position{int64(r), int64(n)}, nil
}

// parseDecimal reads a number from 0 to limit as strconv writes it: no sign, no
// leading zero, so that equal values have equal texts.
func parseDecimal(s string, limit uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= limit && (s[0] != '0' || len(s) == 1)
}

// Epoch names one grant to publish events: by the Raft term of the leader that
// gave it and a number within the term. Later epochs are greater.
type Epoch struct {
	Term uint64
	N    uint64
}

// Compare is negative, zero or positive as e is before, at or after f.
func (e Epoch) Compare(f Epoch) int {
	if c := cmp.Compare(e.Term, f.Term); c != 0 {
		return c
	}
	return cmp.Compare(e.N, f.N)
}

// String is the text form, "term.n".
func (e Epoch) String() string {
	return strconv.FormatUint(e.Term, 10) + "." + strconv.FormatUint(e.N, 10)
}

// ParseEpoch is the inverse of String, and takes no other form.
func ParseEpoch(s string) (Epoch, error) {
	term, n, _ := strings.Cut(s, ".")
	t, ok1 := parseDecimal(term, math.MaxUint64)
	m, ok2 := parseDecimal(n, math.MaxUint64)
	if !ok1 || !ok2 {
		return Epoch{}, fmt.Errorf("epoch %.50q: want TERM.N", s)
	}
	return Epoch{t, m}, nil
}
