package mvcc

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
)

// generator makes random requests over few keys, most of them well formed.
type generator struct {
	*rand.Rand
	revision int64 // about the current one
	value    int
	model    *model   // to expire what is there; may be nil
	keys     []string // to choose from; nil for someKeys
	bulk     int      // most puts of one transaction, beside its other operations
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

var someKeys = []string{"a", "a/", "a/1", "a/2", "a0", "b", "c", "\x00", "\xff", "\xff\x00", "a/0000000000000007", "a/fffffffffffffffd"}

var someLeases = []int64{7, 8, -3}

func (g *generator) lease() int64 { return someLeases[g.IntN(len(someLeases))] }

func (g *generator) key() []byte {
	if g.keys != nil {
		return []byte(g.keys[g.IntN(len(g.keys))])
	}
	return []byte(someKeys[g.IntN(len(someKeys))])
}

// bounds is one key, a range, or from a key on.
func (g *generator) bounds(rangePercent int) (key, end []byte) {
	if key = g.key(); !g.chance(rangePercent) {
		return key, nil
	}
	if g.chance(30) {
		return key, []byte{0}
	}
	return key, g.key()
}

// command is a random one that Check lets pass.
func (g *generator) command() *command.Command {
	for {
		c := &command.Command{}
		switch n := g.IntN(100); {
		case n < 42:
			c.Op = &command.Command_Put{Put: g.put()}
		case n < 52:
			c.Op = &command.Command_DeleteRange{DeleteRange: g.delete()}
		case n < 84:
			c.Op = &command.Command_Txn{Txn: g.txn(2)}
		case n < 90:
			c.Op = &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: g.lease(), TtlMillis: int64(500 + g.IntN(9))}}
		case n < 92:
			c.Op = &command.Command_LeaseRevoke{LeaseRevoke: &kvpb.LeaseRevokeRequest{Id: g.lease()}}
		case n < 96:
			c.Op = &command.Command_Expire{Expire: g.expire()}
		default:
			c.Op = &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: g.rev()}}
		}
		if (c.GetPut() != nil || c.GetDeleteRange() != nil) && g.chance(20) {
			c.IfRevision = new(int64)
			if g.chance(60) {
				*c.IfRevision = g.rev()
			}
		}
		if g.chance(40) {
			c.MsgId = fmt.Sprint(g.IntN(15))
			c.Principal = []string{"", "alice"}[g.IntN(2)]
			c.RequestHash = []byte{byte(g.IntN(2))}
		}
		if check(c) == nil {
			return c
		}
	}
}

func (g *generator) rev() int64 { return max(1, g.revision+2-int64(g.ExpFloat64()*5)) }

func (g *generator) put() *kvpb.PutRequest {
	r := &kvpb.PutRequest{Key: g.key(), PrevKv: g.chance(20), IgnoreLease: g.chance(5)}
	if r.IgnoreValue = g.chance(5); !r.IgnoreValue {
		g.value++
		r.Value = []byte(fmt.Sprint(g.value % 50))
	}
	if !r.IgnoreLease && g.chance(40) {
		if g.chance(50) {
			r.Lease = g.lease()
		} else {
			r.TtlMillis = int64(100 + g.IntN(9))
		}
	}
	return r
}

// expire is the expiry of something, most often of what is there.
func (g *generator) expire() *command.Expire {
	if g.chance(40) {
		e := &command.Expire{Lease: g.lease()}
		if e.Granted = uint64(g.model.leases[e.Lease].granted); g.chance(20) {
			e.Granted++
		}
		return e
	}
	e := &command.Expire{}
	for range 1 + g.IntN(4) {
		k := &command.ExpireKey{Key: g.key()}
		if k.ModRevision = g.model.states[g.model.revision()][string(k.Key)].GetModRevision(); g.chance(20) {
			k.ModRevision = g.rev()
		}
		e.Keys = append(e.Keys, k)
	}
	return e
}

func (g *generator) delete() *kvpb.DeleteRangeRequest {
	key, end := g.bounds(30)
	if at := slices.Index(g.keys, string(key)); at >= 0 && g.chance(80) { // not most of many keys
		end = []byte(g.keys[min(at+g.IntN(60), len(g.keys)-1)])
	}
	return &kvpb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: g.chance(50)}
}

func (g *generator) txn(depth int) *kvpb.TxnRequest {
	r := &kvpb.TxnRequest{}
	for range g.IntN(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	r.Success, r.Failure = g.ops(depth), g.ops(depth)
	if g.bulk > 0 && g.chance(30) {
		r.Compare, r.Success = nil, g.puts()
	}
	return r
}

func (g *generator) compare() *kvpb.Compare {
	c := &kvpb.Compare{Result: kvpb.Compare_Result(g.IntN(4)), Target: kvpb.Compare_Target(g.IntN(6))}
	c.Key, c.RangeEnd = g.bounds(30)
	switch {
	case c.Target == kvpb.Compare_LOCK:
		c.Key, c.RangeEnd, c.Result = []byte("a"), nil, kvpb.Compare_Result(3*g.IntN(2))
		if g.model != nil && g.chance(50) {
			c.Number = g.model.states[g.model.revision()].fence(c.Key)
		}
	case c.Target == kvpb.Compare_VALUE:
		c.Value = []byte(fmt.Sprint(g.IntN(50)))
	case g.chance(60):
		c.Number = int64(g.IntN(int(g.revision) + 2))
	}
	return c
}

func (g *generator) ops(depth int) (ops []*kvpb.RequestOp) {
	for range g.IntN(4) {
		op := &kvpb.RequestOp{}
		switch n := g.IntN(10); {
		case n < 4:
			op.Request = &kvpb.RequestOp_Put{Put: g.put()}
		case n < 6:
			op.Request = &kvpb.RequestOp_DeleteRange{DeleteRange: g.delete()}
		case n < 8 || depth == 0:
			op.Request = &kvpb.RequestOp_Range{Range: g.ranges()}
		default:
			op.Request = &kvpb.RequestOp_Txn{Txn: g.txn(depth - 1)}
		}
		ops = append(ops, op)
	}
	return ops
}

// puts are of neighbouring keys, between two counts; sometimes they fail in the end.
func (g *generator) puts() []*kvpb.RequestOp {
	ops, at := g.count(), g.IntN(len(g.keys))
	for _, key := range g.keys[at:min(at+1+g.IntN(g.bulk), len(g.keys))] {
		ops = append(ops, &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: []byte(key)}}})
	}
	if g.chance(10) {
		ops = append(ops, &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: []byte("none"), Lease: 99}}})
	}
	return append(ops, g.count()...)
}

// count is of a range that is most often a wide one.
func (g *generator) count() []*kvpb.RequestOp {
	r := &kvpb.RangeRequest{Key: g.key(), RangeEnd: []byte{0}, CountOnly: true}
	if g.chance(50) {
		r.RangeEnd = []byte(g.keys[len(g.keys)-1])
	}
	if g.chance(50) {
		r.Revision = max(1, g.revision-int64(g.IntN(4)))
	}
	return []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Range{Range: r}}}
}

func (g *generator) ranges() *kvpb.RangeRequest {
	r := &kvpb.RangeRequest{KeysOnly: g.chance(20), CountOnly: g.chance(10)}
	r.Key, r.RangeEnd = g.bounds(80)
	r.SortOrder = kvpb.RangeRequest_SortOrder(g.IntN(3))
	if g.chance(30) {
		r.SortTarget = kvpb.RangeRequest_SortTarget(g.IntN(5))
	}
	if g.chance(40) {
		r.Limit = int64(1 + g.IntN(4))
	}
	if g.chance(30) {
		r.Revision = g.rev()
	}
	for _, filter := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.chance(8) {
			*filter = g.rev()
		}
	}
	return r
}
