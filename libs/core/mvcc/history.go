package mvcc

import (
	"errors"
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
	block, found, err := readChanges(view, revision, 0)
	if err == nil && !found {
		err = fmt.Errorf("%w: revision %d has no change record", store.ErrCorrupt, revision)
	}
	return block.ts, err
}

func readChanges(view store.View, revision int64, n int) (block changeBlock, found bool, err error) {
	key := appendChangeKey(nil, revision, n)
	b, err := view.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return changeBlock{}, false, nil
	} else if err != nil {
		return changeBlock{}, false, err
	}
	block, err = decodeChangeBlock(key, b)
	return block, err == nil, err
}
