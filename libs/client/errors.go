package client

import (
	"errors"

	"github.com/kvorum/kvorum/libs/api"
)

// Errors to compare with, as in errors.Is(err, client.ErrNotFound). The error
// itself is an *api.Error, whose fields tell more: errors.As.
var (
	// ErrNotFound: Get's key does not exist.
	ErrNotFound error = &api.Error{Kind: api.KindNotFound}
	// ErrCompareFailed: IfRevision did not hold; ModRevision is the key's.
	ErrCompareFailed error = &api.Error{Kind: api.KindCompareFailed}
	// ErrCompacted: what was asked for is compacted; Compacted is the oldest
	// revision that can still be read.
	ErrCompacted error = &api.Error{Kind: api.KindCompacted}
	// ErrFutureRevision: the revision does not exist yet.
	ErrFutureRevision error = &api.Error{Kind: api.KindFutureRevision}
	// ErrLeaseNotFound: the lease does not exist, or a session was lost.
	ErrLeaseNotFound error = &api.Error{Kind: api.KindLeaseNotFound}
	// ErrLeaseExists: a lease with that id exists.
	ErrLeaseExists error = &api.Error{Kind: api.KindLeaseExists}
	// ErrNotHeld: the lock, leadership or place in the queue is not, or no
	// longer, the caller's.
	ErrNotHeld error = &api.Error{Kind: api.KindNotHeld}
	// ErrAlreadyHeld: the session has or awaits that name already.
	ErrAlreadyHeld error = &api.Error{Kind: api.KindAlreadyHeld}
	// ErrTooLarge: past a size limit, which the message names.
	ErrTooLarge error = &api.Error{Kind: api.KindTooLarge}
	// ErrTooManyOps: past api.MaxTxnOps.
	ErrTooManyOps error = &api.Error{Kind: api.KindTooManyOps}
	// ErrDuplicateKey: a transaction writes a key twice.
	ErrDuplicateKey error = &api.Error{Kind: api.KindDuplicateKey}
	// ErrBadRequest: the request makes no sense.
	ErrBadRequest error = &api.Error{Kind: api.KindBadRequest}
	// ErrBadKey: the key is empty or longer than api.MaxKeyBytes.
	ErrBadKey error = &api.Error{Kind: api.KindBadKey}
	// ErrNoSpace: the disks are nearly full; delete and compact still work.
	ErrNoSpace error = &api.Error{Kind: api.KindNoSpace}
	// ErrOverloaded: the cluster was too busy until the context ended; nothing
	// was changed.
	ErrOverloaded error = &api.Error{Kind: api.KindOverloaded}
	// ErrNoLeader: there was no quorum until the context ended; nothing was
	// changed.
	ErrNoLeader error = &api.Error{Kind: api.KindNoLeader}
	// ErrTimeout: the context ended before an answer came. A write may have
	// taken effect or may still do so.
	ErrTimeout error = &api.Error{Kind: api.KindTimeout}
	// ErrUnavailable: nothing could be reached until the context ended; nothing
	// was changed.
	ErrUnavailable error = &api.Error{Kind: api.KindUnavailable}
)

// modRevision is the mod revision that an error tells, 0 where it tells none.
func modRevision(err error) int64 {
	if e, ok := asError(err); ok {
		return e.ModRevision
	}
	return 0
}

func asError(err error) (*api.Error, bool) {
	var e *api.Error
	ok := errors.As(err, &e)
	return e, ok
}
