package api

import (
	"errors"
	"fmt"
)

// Kind names an error on the wire, in the header Kv-Error. Kinds are
// append-only. Each is either "not applied", which is certain, or "unknown":
// the request may have taken effect or may still do so.
type Kind string

// The kinds. Code and Applied tell what each means to a client.
const (
	KindNotFound         Kind = "not_found"         // the key does not exist
	KindCompareFailed    Kind = "compare_failed"    // Kv-If-Revision did not hold
	KindCompacted        Kind = "compacted"         // the revision is below the compacted one
	KindFutureRevision   Kind = "future_revision"   // the revision does not exist yet
	KindLeaseNotFound    Kind = "lease_not_found"   // the lease does not exist
	KindLeaseExists      Kind = "lease_exists"      // a lease with that id exists
	KindNotHeld          Kind = "not_held"          // the lock or leadership is not the caller's
	KindAlreadyHeld      Kind = "already_held"      // the lease already contends for that name
	KindTooLarge         Kind = "too_large"         // past a size limit, which the message names
	KindTooManyOps       Kind = "too_many_ops"      // past MaxTxnOps
	KindDuplicateKey     Kind = "duplicate_key"     // a key written twice in one transaction
	KindBadRequest       Kind = "bad_request"       // malformed
	KindBadKey           Kind = "bad_key"           // empty, too long or not in canonical form
	KindUnknownOperation Kind = "unknown_operation" // no such subject below kv.
	KindNoSpace          Kind = "no_space"          // the disk is nearly full: delete and compact still work
	KindOverloaded       Kind = "overloaded"        // a queue is full: try again later
	KindNoLeader         Kind = "no_leader"         // no quorum right now; certainly not applied
	KindTimeout          Kind = "timeout"           // no answer in time: outcome unknown
	KindCorrupt          Kind = "corrupt"           // a checksum failed: this node answers nothing more
	KindUnavailable      Kind = "unavailable"       // the node starts, stops or waits for data; not applied
	KindInternal         Kind = "internal"          // a bug: outcome unknown
)

// kinds maps every kind to its code in Nats-Service-Error-Code, chosen after
// HTTP's, and to whether the outcome is certain.
var kinds = map[Kind]struct {
	code    int
	unknown bool
}{
	KindNotFound:         {404, false},
	KindCompareFailed:    {412, false},
	KindCompacted:        {410, false},
	KindFutureRevision:   {416, false},
	KindLeaseNotFound:    {404, false},
	KindLeaseExists:      {409, false},
	KindNotHeld:          {409, false},
	KindAlreadyHeld:      {409, false},
	KindTooLarge:         {413, false},
	KindTooManyOps:       {413, false},
	KindDuplicateKey:     {400, false},
	KindBadRequest:       {400, false},
	KindBadKey:           {400, false},
	KindUnknownOperation: {404, false},
	KindNoSpace:          {507, false},
	KindOverloaded:       {429, false},
	KindNoLeader:         {503, false},
	KindTimeout:          {504, true},
	KindCorrupt:          {500, false},
	KindUnavailable:      {503, false},
	KindInternal:         {500, true},
}

// Code is the kind's number in Nats-Service-Error-Code; 500 for a kind that
// this version does not know.
func (k Kind) Code() int {
	if e, ok := kinds[k]; ok {
		return e.code
	}
	return 500
}

// Unknown reports whether a request that failed with k may have taken effect.
func (k Kind) Unknown() bool {
	e, ok := kinds[k]
	return !ok || e.unknown
}

// Retryable reports whether the same request may succeed later, or on another
// node, unchanged.
// Where Unknown holds as well, only a request with a Nats-Msg-Id, or one that
// has no effect, can be repeated safely.
func (k Kind) Retryable() bool {
	switch k {
	case KindNoLeader, KindTimeout, KindOverloaded, KindUnavailable, KindCorrupt:
		return true
	}
	return false
}

// Error is a failed request, as the wire carries it.
type Error struct {
	Kind    Kind
	Message string // for people: what happened and what to do
	// Revision is the store's where it is known, else 0.
	Revision int64
	// ModRevision is the key's, for KindCompareFailed; 0 where it does not exist.
	ModRevision int64
	// Compacted is the compacted revision, for KindCompacted.
	Compacted int64
}

// Errorf makes an Error of a kind.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Message }

// Is makes errors.Is(err, &Error{Kind: k}) true for any error of kind k.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Message == ""
}

// KindOf is the kind of err, or "" where it is no *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
