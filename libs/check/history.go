package check

import (
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Unknown is the Return of an operation whose outcome its client never learned:
// it may take effect at any time after its Call, once, or never.
const Unknown = int64(math.MaxInt64)

// Op is one request of one client. Times are nanoseconds of one monotonic clock.
type Op struct {
	// Client names the caller, who does one thing at a time.
	Client int
	Call   int64
	Return int64 // Unknown where the outcome is
	// Request is a message of kvpb: RangeRequest, PutRequest, DeleteRangeRequest,
	// TxnRequest, CompactRequest or LeaseRevokeRequest. Every value that is put is
	// unique in the history (the client's number and a count, say), so that an
	// event tells whose it was.
	Request proto.Message
	// IfRevision is the Kv-If-Revision of a put, or of a delete of one key; nil:
	// none.
	IfRevision *int64
	// Response is its answer; nil where the outcome is unknown or Err is set.
	Response proto.Message
	// Err is a refusal that says that the request took no effect.
	Err error
	// MsgID is the Nats-Msg-Id that all attempts of the request carried. A request
	// that was given up and is taken up again later is another Op with this id.
	MsgID string
	// Repeated: the answer came with Kv-Duplicate, so it may lack what was large.
	Repeated bool
}

// History is what happened to a store while it was looked at.
type History struct {
	Ops []Op
	// Events are all that were committed, in order of their positions, as read
	// after the end from a healthy cluster (or noted as they were applied).
	Events []*kvpb.Event
	// Start is the store before the first of Events, as the answer to a range of
	// everything; nil: the empty store at revision 1.
	Start *kvpb.RangeResponse
	// Others reports keys that are written by requests which are not in Ops; nil:
	// none. A revision of such keys alone needs nobody to explain it. What expired
	// needs nobody either.
	Others func(key []byte) bool
}

// Watch is what one watch of one client delivered.
type Watch struct {
	Name string
	// Key and End are the range watched, as in a WatchRequest: End nil is the
	// single key, "\x00" everything from Key on.
	Key, End []byte
	// Since is where it began (exclusive); nil: from when it was asked for, at
	// Asked, on, and then the first of Steps tells by its Through where that is.
	Since *api.Position
	Asked int64
	// Steps are what it delivered, in that order.
	Steps []Step
	// Ended: Through must be the end of the history by the last Step (the watch
	// was given time to catch up with a healthy cluster).
	Ended bool
	// Compacted, where it is not 0, is the compacted revision that the watch was
	// told of when it ended because what follows the last Step is gone.
	Compacted int64
}

// Step is one delivery: one revision's events of the range, or progress alone.
type Step struct {
	At       int64
	Revision int64
	Events   []*kvpb.Event
	// Through is what the watch claims to have delivered everything up to.
	Through api.Position
	// Resumed: before this step the watch was dropped and begun anew behind the
	// Through of the step before.
	Resumed bool
}
