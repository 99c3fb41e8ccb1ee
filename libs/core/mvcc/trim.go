package mvcc

import (
	"bytes"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Trim removes up to max change records that no read needs since the last
// compaction, and tells whether there are more. It is this replica's own
// affair: neither results nor the digest depend on it. It runs between calls of
// Apply, in steps, so that a compaction does not hold up writes.
//
// The records of the compacted revision stay, its events can be asked for, and
// those of the revision before it, which Events needs.
func (m *Machine) Trim(max int) (more bool, err error) {
	if m.failed != nil {
		return false, fmt.Errorf("mvcc: failed before: %w", m.failed)
	}
	bound := m.meta.compacted - 1
	if mutant.Is(mutant.TrimCompacted) {
		bound = m.meta.compacted + 1
	}
	if m.trimmed >= bound || max <= 0 {
		return m.trimmed < bound, nil
	}
	more, err = m.trim(max, bound)
	if err != nil {
		m.failed = err
		return false, fmt.Errorf("mvcc: trim change records: %w", err)
	}
	return more, nil
}

func (m *Machine) trim(max int, bound int64) (more bool, err error) {
	// No entry writes at this TS to a key that is removed here: what an entry
	// compacts, an earlier command has made.
	ts := store.EndOf(m.meta.index)
	view, err := m.st.Read(ts)
	if err != nil {
		return false, err
	}
	defer view.Close()
	it := view.Scan(appendChangeKey(nil, m.trimmed, 0), appendChangeKey(nil, bound, 0), false)
	defer it.Close()
	var muts []store.Mutation
	trimmed := bound
	for it.Next() {
		revision, _, err := decodeChangeKey(it.Key())
		if err != nil {
			return false, err
		}
		if len(muts) == max {
			more, trimmed = true, revision
			break
		}
		muts = append(muts, store.Mutation{Key: bytes.Clone(it.Key()), TS: ts, Delete: true})
	}
	if err := it.Err(); err != nil {
		return false, err
	}
	if len(muts) > 0 {
		if err := m.st.Write(muts); err != nil {
			return false, err
		}
	}
	m.trimmed = trimmed
	return more, nil
}
