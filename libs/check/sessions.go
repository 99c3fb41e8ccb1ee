package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Revisions demands of each client that the store's revision never goes back in
// its answers, one after another, apart from reads that may be old and requests
// that were begun earlier.
func Revisions(ops []Op) error {
	sorted := make([]*Op, len(ops))
	for i := range ops {
		sorted[i] = &ops[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	last, begun := map[int]*Op{}, map[string]bool{}
	for _, op := range sorted {
		again := op.MsgID != "" && begun[op.MsgID]
		begun[op.MsgID] = true
		if op.Response == nil || again || weak(op.Request) {
			continue
		}
		before := last[op.Client]
		if before != nil && op.Call < before.Return {
			return fmt.Errorf("one client does two things at a time: %s; %s", before, op)
		}
		if before != nil && answerRevision(op) < answerRevision(before) {
			return fmt.Errorf("the revision goes back: %s; %s", before, op)
		}
		last[op.Client] = op
	}
	return nil
}

func answerRevision(op *Op) int64 {
	revision, _ := revisionOf(op.Response)
	return revision
}

// Digest is the digest of a node's state as of an index of the log.
type Digest struct {
	Node   string
	Index  uint64
	Digest string
}

// Digests demands that nodes at the same index have the same state.
func Digests(seen []Digest) error {
	at := map[uint64]Digest{}
	for _, d := range seen {
		if first, ok := at[d.Index]; ok && first.Digest != d.Digest {
			return fmt.Errorf("at index %d %s has the digest %s and %s has %s", d.Index, first.Node, first.Digest, d.Node, d.Digest)
		} else if !ok {
			at[d.Index] = d
		}
	}
	return nil
}
