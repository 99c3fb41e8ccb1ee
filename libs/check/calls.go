package check

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// call is a request with all of its attempts, and its place in the history.
type call struct {
	*Op // the attempt that was answered, else the first
	// from and until bound when it took effect: from the first attempt on and
	// until the first answer, or until somebody saw what it did.
	from, until int64
	// revision is the one that it made, or the one that it saw. 0: none is known.
	revision int64
	made     bool
	oldest   int64 // the oldest revision that it read by number, 0 for none
	floor    int64 // it took effect at this time or later, for what came before it
	// start is how many of its window come in earlier places, turn how many of
	// those in its own place that compactions do not matter to come before it.
	start, turn int
}

// calls puts the attempts of each request together. What was refused is apart:
// it did nothing, and says something about the store only in its error.
func (h *History) calls() (answered, unknown []*call, refused []*Op, err error) {
	ids, finals, asked := map[string]*call{}, map[string]*Op{}, h.asked()
	var all []*call
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Err != nil {
			if kind := api.KindOf(op.Err); kind != "" && kind.Unknown() {
				return nil, nil, nil, fmt.Errorf("the outcome is unknown, and recorded as a refusal: %s", op)
			}
			refused = append(refused, op)
			if op.comparedAt() != 0 {
				answered = append(answered, &call{Op: op, from: min(op.Call, asked[op.MsgID]), until: op.Return})
			}
			final := finals[op.MsgID]
			if op.MsgID != "" && fromState(op.Err) && (final == nil || op.Call < final.Call) {
				finals[op.MsgID] = op
			}
			continue
		}
		if (op.Return == Unknown) != (op.Response == nil) || op.Return < op.Call {
			return nil, nil, nil, fmt.Errorf("not a record of an operation: %s", op)
		}
		changes := writes(op.Request)
		if op.Return == Unknown && !changes {
			continue // nobody saw anything of it
		}
		c := ids[op.MsgID]
		if op.MsgID == "" || !changes || c == nil {
			c = &call{Op: op, from: op.Call, until: op.Return}
			if changes {
				ids[op.MsgID] = c
			}
			all = append(all, c)
		} else if err := c.again(op); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, c := range all {
		final := finals[c.MsgID]
		switch {
		case c.Response == nil && final == nil:
			unknown = append(unknown, c)
		case c.Response != nil && final == nil:
			answered = append(answered, c)
		case c.Response != nil:
			return nil, nil, nil, fmt.Errorf("a repeated request has another answer: %s; %s", final, c.Op)
		}
	}
	return answered, unknown, refused, nil
}

// asked tells when each message id was first used. It has no time for the empty
// one: math.MaxInt64.
func (h *History) asked() map[string]int64 {
	first := map[string]int64{"": math.MaxInt64}
	for i := range h.Ops {
		op := &h.Ops[i]
		if at, ok := first[op.MsgID]; !ok || op.MsgID != "" && op.Call < at {
			first[op.MsgID] = op.Call
		}
	}
	return first
}

// comparedAt is the revision at which the store found that Kv-If-Revision did
// not hold, or that a write wants to keep something of a key that does not exist;
// 0 where that is not what happened.
func (op *Op) comparedAt() int64 {
	e := (*api.Error)(nil)
	switch {
	case !errors.As(op.Err, &e):
	case op.IfRevision != nil && e.Kind == api.KindCompareFailed, writes(op.Request) && e.Kind == api.KindNotFound:
		return e.Revision
	}
	return 0
}

// fromState: the state machine refused, and remembers that for the message id;
// other refusals come before it.
func fromState(err error) bool {
	switch api.KindOf(err) {
	case api.KindCompareFailed, api.KindNotFound, api.KindLeaseNotFound, api.KindCompacted, api.KindFutureRevision:
		return true
	}
	return false
}

// again adds an attempt under the same message id.
func (c *call) again(op *Op) error {
	if !proto.Equal(c.Request, op.Request) || !sameNumber(c.IfRevision, op.IfRevision) {
		return fmt.Errorf("one message id for two requests: %s; %s", c.Op, op)
	}
	if c.Response != nil && op.Response != nil && !sameAnswer(c.Op, op) {
		return fmt.Errorf("a repeated request has another answer: %s; %s", c.Op, op)
	}
	c.from, c.until = min(c.from, op.Call), min(c.until, op.Return)
	if op.Response != nil && (c.Response == nil || c.Repeated) {
		c.Op = op
	}
	return nil
}

func sameNumber(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// sameAnswer: a large one may be stripped where it is given again.
func sameAnswer(a, b *Op) bool {
	if ra, _ := revisionOf(a.Response); a.Repeated != b.Repeated && max(proto.Size(a.Response), proto.Size(b.Response)) > api.DedupResultBytes {
		rb, _ := revisionOf(b.Response)
		return ra == rb
	}
	return proto.Equal(a.Response, b.Response)
}

// writes: the request may change something, so that a message id means something.
func writes(request proto.Message) bool {
	switch q := request.(type) {
	case *kvpb.PutRequest, *kvpb.DeleteRangeRequest, *kvpb.LeaseRevokeRequest, *kvpb.CompactRequest:
		return true
	case *kvpb.TxnRequest:
		for _, ops := range [][]*kvpb.RequestOp{q.Success, q.Failure} {
			for _, op := range ops {
				if op.GetPut() != nil || op.GetDeleteRange() != nil || op.GetTxn() != nil && writes(op.GetTxn()) {
					return true
				}
			}
		}
	}
	return false
}

// weak: a read that may be answered from the past: a serializable one, or one of
// a revision that it names.
func weak(request proto.Message) bool {
	q, ok := request.(*kvpb.RangeRequest)
	return ok && (q.Serializable || q.Revision != 0)
}
