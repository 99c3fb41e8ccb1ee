package check

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// recorder makes right histories: one state machine, requests that take effect
// one after another, and clients who asked before and hear of it later.
type recorder struct {
	t       testing.TB
	rng     *rand.Rand
	machine *mvcc.Machine
	index   uint64
	past    []*mvcc.Published
	timers  []mvcc.Timer
	due     due
	count   int
	h       History
}

// asked is a request on its way.
type asked struct {
	op     Op
	effect int64
	lost   bool // the answer is lost
	never  bool // the request is
	resend int  // attempts under the same id that follow
}

type due []*asked

func (d due) Len() int           { return len(d) }
func (d due) Less(i, j int) bool { return d[i].effect < d[j].effect }
func (d due) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *due) Push(x any)        { *d = append(*d, x.(*asked)) }
func (d *due) Pop() any {
	x := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return x
}

// record makes a history of some requests.
func record(t testing.TB, seed uint64, requests int) History {
	machine, err := mvcc.Open(memstore.New(nil).State(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, rng: rand.New(rand.NewPCG(seed, 7)), machine: machine}
	r.h.Others = func(key []byte) bool { return key[1] == 'x' }
	for id := range int64(3) {
		r.apply(&command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: id + 1, TtlMillis: 1000}}})
	}
	for c := range 8 {
		r.next(c, int64(c))
	}
	for r.count < requests {
		r.take(heap.Pop(&r.due).(*asked))
	}
	for len(r.due) > 0 {
		a := heap.Pop(&r.due).(*asked)
		if a.never = true; a.lost || len(a.op.MsgID) > 0 {
			r.h.Ops = append(r.h.Ops, a.gaveUp())
		}
	}
	return r.h
}

func (a *asked) gaveUp() Op {
	op := a.op
	op.Return = Unknown
	return op
}

// next lets a client ask for something.
func (r *recorder) next(client int, at int64) {
	r.count++
	a := &asked{op: Op{Client: client, Call: at + r.rng.Int64N(50), Request: r.request()}}
	if q, ok := a.op.Request.(*kvpb.PutRequest); ok && r.rng.IntN(4) == 0 {
		resp, err := r.machine.Published().Range(&kvpb.RangeRequest{Key: q.Key})
		if err != nil {
			r.t.Fatal(err)
		}
		a.op.IfRevision = new(int64)
		for _, kv := range resp.Kvs {
			*a.op.IfRevision = kv.ModRevision
		}
	}
	a.effect = a.op.Call + r.rng.Int64N(100)
	if writes(a.op.Request) {
		a.op.MsgID = fmt.Sprint("m", r.count)
	}
	if a.lost = r.rng.IntN(12) == 0; a.lost {
		a.never = r.rng.IntN(3) == 0
		if r.rng.IntN(2) == 0 {
			a.effect += r.rng.Int64N(3000)
		}
		if a.op.MsgID != "" && r.rng.IntN(2) == 0 {
			a.resend = 1
		}
	}
	heap.Push(&r.due, a)
	if a.lost {
		r.next(client, a.op.Call+r.rng.Int64N(200))
	}
}

// take lets a request have its effect.
func (r *recorder) take(a *asked) {
	if r.rng.IntN(10) == 0 {
		r.foreign()
	}
	op := a.op
	if !a.never {
		r.carryOut(&op)
	}
	if op.Return = a.effect + r.rng.Int64N(100); a.lost {
		op = a.gaveUp()
	}
	r.h.Ops = append(r.h.Ops, op)
	if a.resend > 0 {
		again := &asked{op: a.op, effect: a.effect + 300 + r.rng.Int64N(1000), resend: a.resend - 1}
		again.op.Client, again.op.Call = 100+a.op.Client, a.effect+200
		heap.Push(&r.due, again)
	}
	if !a.lost && op.Client < 100 {
		r.next(op.Client, op.Return)
	}
}

func (r *recorder) carryOut(op *Op) {
	c := &command.Command{MsgId: op.MsgID, IfRevision: op.IfRevision}
	switch q := op.Request.(type) {
	case *kvpb.RangeRequest:
		p := r.machine.Published()
		if q.Serializable && q.MinRevision == 0 {
			p = r.past[len(r.past)-1-r.rng.IntN(min(20, len(r.past)))]
		}
		resp, err := p.Range(q)
		if op.Err = err; err == nil {
			op.Response = resp
		}
		return
	case *kvpb.PutRequest:
		c.Op = &command.Command_Put{Put: q}
	case *kvpb.DeleteRangeRequest:
		c.Op = &command.Command_DeleteRange{DeleteRange: q}
	case *kvpb.TxnRequest:
		c.Op = &command.Command_Txn{Txn: q}
	case *kvpb.CompactRequest:
		c.Op = &command.Command_Compact{Compact: q}
	case *kvpb.LeaseRevokeRequest:
		c.Op = &command.Command_LeaseRevoke{LeaseRevoke: q}
	}
	if err := mvcc.Check(c); err != nil {
		op.Err = err
		return
	}
	res := r.apply(c)
	op.Response, op.Repeated = res.Response, res.Duplicate
	if res.Err != nil {
		op.Response, op.Err = nil, res.Err
	}
}

func (r *recorder) apply(c *command.Command) mvcc.Result {
	r.index++
	a, err := r.machine.Apply([]mvcc.Entry{{Index: r.index, Term: 1, Commands: []*command.Command{proto.Clone(c).(*command.Command)}}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.past = append(r.past, r.machine.Published())
	r.h.Events = append(r.h.Events, a.Events...)
	r.timers = append(r.timers, a.Timers...)
	return a.Results[0][0]
}

// foreign is what others do, and time.
func (r *recorder) foreign() {
	if r.rng.IntN(3) == 0 && len(r.timers) > 0 {
		timer := r.timers[len(r.timers)-1-r.rng.IntN(min(10, len(r.timers)))]
		x := &command.Expire{Lease: timer.Lease, Granted: uint64(timer.Generation)}
		if timer.Lease == 0 {
			x = &command.Expire{Keys: []*command.ExpireKey{{Key: timer.Key, ModRevision: int64(timer.Generation)}}}
		}
		r.apply(&command.Command{Op: &command.Command_Expire{Expire: x}})
		if timer.Lease != 0 {
			r.apply(&command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: timer.Lease, TtlMillis: 1000}}})
		}
		return
	}
	r.apply(&command.Command{Op: &command.Command_Put{Put: &kvpb.PutRequest{Key: fmt.Appendf(nil, "/x/%d", r.rng.IntN(4)), Value: []byte("theirs")}}})
}

// copyOf is a history that may be changed.
func copyOf(h History) History {
	h.Ops = slices.Clone(h.Ops)
	for i := range h.Ops {
		h.Ops[i].Request = proto.Clone(h.Ops[i].Request)
		if h.Ops[i].Response != nil {
			h.Ops[i].Response = proto.Clone(h.Ops[i].Response)
		}
	}
	h.Events = slices.Clone(h.Events)
	for i, ev := range h.Events {
		h.Events[i] = proto.Clone(ev).(*kvpb.Event)
	}
	return h
}
