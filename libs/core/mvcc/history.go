package mvcc

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/store"
)

// readable refuses revisions that are gone or not there yet. The compacted
// revision itself can be read.
func readable(revision, current, compacted int64) error {
	if revision < compacted {
		return errCompacted(revision, compacted)
	}
	if revision > current {
		e := api.Errorf(api.KindFutureRevision, "revision %d does not exist yet, the store is at %d", revision, current)
		e.Revision = current
		return e
	}
	return nil
}

func errCompacted(revision, compacted int64) *api.Error {
	e := api.Errorf(api.KindCompacted, "revision %d has been compacted, up to %d", revision, compacted)
	e.Compacted = compacted
	return e
}

// revisionTS is the TS of the command that made a revision, from its changes.
// Revision 1 is the state before every entry.
func revisionTS(view store.View, revision int64) (store.TS, error) {
	if revision <= 1 {
		return 0, nil
	}
	r, err := findChange(view, api.Position{Revision: revision})
	if err != nil {
		return 0, err
	}
	if r == nil {
		return 0, fmt.Errorf("%w: revision %d has no change record", store.ErrCorrupt, revision)
	}
	return r.ts, nil
}

// findChange finds the change at a position, nil if there is none. Its key is
// not valid any more.
func findChange(view store.View, at api.Position) (*changeRecord, error) {
	lower := appendChangeKey(nil, at.Revision, int(at.Sub/blockChanges))
	upper := appendChangeKey(nil, at.Revision+store.MaxCommands, 0) // a record is of one entry
	it := view.Scan(lower, upper, false)
	defer it.Close()
	if !it.Next() {
		return nil, it.Err()
	}
	r, err := changeRecordAt(it)
	if err != nil {
		return nil, err
	}
	for {
		if ok, err := r.next(); err != nil || !ok || r.at.After(at) {
			return nil, err
		}
		if r.at == at {
			return &r, nil
		}
	}
}

// changeRecordAt decodes the record at an iterator. It is valid until the next
// call of Next or Close.
func changeRecordAt(it store.Iterator) (changeRecord, error) {
	b := it.Value()
	if err := it.Err(); err != nil {
		return changeRecord{}, err
	}
	return decodeChangeRecord(it.Key(), b)
}
