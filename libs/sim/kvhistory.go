package sim

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

const (
	// kvDir is what the clients of the store write below, and nobody else.
	kvDir = "/kv/"
	// kvPrefix begins their message ids.
	kvPrefix = "kv"
	// strangers is the first number of those who take up what others gave up, and
	// of answers that nobody waited for any more.
	strangers = 1 << 20
)

// kv is what the clients of the store have done.
type kv struct {
	w       *world
	clients []*kvClient
	pending int // requests that will be taken up again
	ids     int // of strangers
	values  int
	h       check.History
}

func (k *kv) stranger() int { k.ids++; return strangers + k.ids }

// begin records that something is asked.
func (k *kv) begin(client int, a *asking) (op int) {
	k.h.Ops = append(k.h.Ops, check.Op{Client: client, Call: k.w.now, Return: check.Unknown, Request: a.request, IfRevision: a.ifRevision, MsgID: a.msgID})
	return len(k.h.Ops) - 1
}

// end records the answer.
func (k *kv) end(a *asking, resp proto.Message, err error, repeated bool) {
	op := &k.h.Ops[a.op]
	op.Return, op.Response, op.Err, op.Repeated = k.w.now, resp, err, repeated
	switch {
	case err != nil:
	case a.changes():
		k.w.report.Writes++
	default:
		k.w.report.Reads++
	}
}

// late records an answer that nobody waits for any more.
func (k *kv) late(a *asking, sent int64, resp proto.Message, err error, repeated bool) {
	if a.msgID == "" && !a.answered {
		a.answered = true
		k.h.Ops[a.op].Client = k.stranger()
		k.end(a, resp, err, repeated)
		return
	}
	k.h.Ops = append(k.h.Ops, check.Op{Client: k.stranger(), Call: sent, Return: k.w.now, Request: a.request, IfRevision: a.ifRevision,
		Response: resp, Err: err, MsgID: a.msgID, Repeated: repeated})
}

// committed takes an entry that was applied for the first time. Compactions that
// are not the clients' own are recorded as of then.
func (k *kv) committed(e mvcc.Entry, a *mvcc.Applied) {
	k.h.Events = append(k.h.Events, a.Events...)
	for i, c := range e.Commands {
		op, ok := c.Op.(*command.Command_Compact)
		if resp := a.Results[0][i].Response; ok && resp != nil && !strings.HasPrefix(c.MsgId, kvPrefix) {
			k.h.Ops = append(k.h.Ops, check.Op{Client: -1, Call: k.w.now, Return: k.w.now, Request: op.Compact, Response: resp})
		}
	}
}

// endKV tells who still waits for something.
func (w *world) endKV() error {
	for _, c := range w.kv.clients {
		if c.busy || !c.finished {
			return fmt.Errorf("client %d waits for the answer to %v", c.number, w.kv.h.Ops[len(w.kv.h.Ops)-1].Request)
		}
	}
	if w.kv.pending > 0 {
		return fmt.Errorf("%d requests are taken up again", w.kv.pending)
	}
	return nil
}

// checkKV judges all that the clients saw.
func (w *world) checkKV() error {
	h, r := w.kv.h, &w.report
	for i := range h.Ops {
		op := &h.Ops[i]
		r.GivenUp += one(op.Return == check.Unknown)
		r.Refused += one(op.Err != nil)
		r.Repeated += one(op.Repeated)
	}
	h.Others = func(key []byte) bool { return !strings.HasPrefix(string(key), kvDir) }
	if err := check.Linearizable(h); err != nil {
		return err
	}
	return check.Revisions(h.Ops)
}

// changes: the request may change something, so that it must not be repeated
// without a message id.
func (a *asking) changes() bool {
	switch q := a.request.(type) {
	case *kvpb.RangeRequest:
		return false
	case *kvpb.TxnRequest:
		return !mvcc.ReadOnly(q)
	}
	return true
}
