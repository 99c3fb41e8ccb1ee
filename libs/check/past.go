package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// weakReads: what a read in the past says of the store was so by then, and was
// not compacted away in the state that it was answered from.
func (o *owners) weakReads(ordered, reads []*call) error {
	slices.SortStableFunc(reads, func(a, b *call) int { return cmp.Compare(a.revision, b.revision) })
	var last *call // the last to be asked of those that made revisions up to here
	var compaction *call
	for _, c := range reads {
		for ; len(ordered) > 0 && (ordered[0].revision < c.revision || ordered[0].revision == c.revision && ordered[0].made); ordered = ordered[1:] {
			next := ordered[0]
			if next.made && (last == nil || next.from > last.from) {
				last = next
			}
			q, ok := next.Request.(*kvpb.CompactRequest)
			if ok && (compaction == nil || q.Revision > compaction.Request.(*kvpb.CompactRequest).Revision) {
				compaction = next
			}
		}
		q := c.Request.(*kvpb.RangeRequest)
		switch {
		case last != nil && c.until < last.from:
			return fmt.Errorf("from the future: this saw revision %d: %s; later this was asked, which made revision %d: %s", c.revision, c.Op, last.revision, last.Op)
		case q.Revision != 0 && compaction != nil && q.Revision < compaction.Request.(*kvpb.CompactRequest).Revision:
			return fmt.Errorf("a revision was read after it was compacted: %s; %s", c.Op, compaction.Op)
		}
	}
	return nil
}

// refusals: what is said to be compacted is, and what is said to be in the
// future was. Other errors say nothing of the store that could be held against
// it; that the request did nothing is seen from the events.
func (o *owners) refusals(placed []*call, refused []*Op) error {
	var past []*call // in the order of their answers; each is the newest so far
	asked := o.h.asked()
	for _, op := range refused {
		from := min(op.Call, asked[op.MsgID]) // the answer may be of the first attempt
		kind := api.KindOf(op.Err)
		low, high := named(op.Request)
		q, _ := op.Request.(*kvpb.RangeRequest)
		switch {
		case high == 0:
		case kind == api.KindFutureRevision && !q.GetSerializable():
			if past == nil {
				past = newest(placed)
			}
			i := sort.Search(len(past), func(i int) bool { return past[i].until >= from })
			if i > 0 && past[i-1].revision >= high {
				return fmt.Errorf("refused as in the future: %s; but revision %d had been seen: %s", op, past[i-1].revision, past[i-1].Op)
			}
		case kind == api.KindCompacted:
			if err := o.wasCompacted(op, low); err != nil {
				return err
			}
		}
	}
	return nil
}

// newest are the calls whose answer had a later revision than any answer before.
func newest(calls []*call) []*call {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b *call) int {
		if c := cmp.Compare(a.until, b.until); c != 0 {
			return c
		}
		return cmp.Compare(b.revision, a.revision)
	})
	found := calls[:0]
	for _, c := range calls {
		if len(found) == 0 || c.revision > found[len(found)-1].revision {
			found = append(found, c)
		}
	}
	return found
}

// wasCompacted: a refusal of a revision as compacted tells of a compaction that
// somebody had asked for by then.
func (o *owners) wasCompacted(op *Op, revision int64) error {
	var at int64
	if e := (*api.Error)(nil); errors.As(op.Err, &e) {
		at = e.Compacted
	}
	if _, ok := op.Request.(*kvpb.CompactRequest); revision > at || revision == at && !ok {
		return fmt.Errorf("refused as compacted, though the compacted revision is %d: %s", at, op)
	}
	if at <= o.start {
		return nil // before the history
	}
	for i := range o.h.Ops {
		other := &o.h.Ops[i]
		if q, ok := other.Request.(*kvpb.CompactRequest); ok && other.Err == nil && q.Revision == at && other.Call <= op.Return {
			return nil
		}
	}
	return fmt.Errorf("nobody had compacted at revision %d: %s", at, op)
}

// named are the lowest and the highest revision that a request reads or compacts
// by number, 0 for none.
func named(request proto.Message) (low, high int64) {
	switch q := request.(type) {
	case *kvpb.RangeRequest:
		return q.GetRevision(), q.GetRevision()
	case *kvpb.CompactRequest:
		return q.Revision, q.Revision
	case *kvpb.TxnRequest:
		for _, ops := range [][]*kvpb.RequestOp{q.Success, q.Failure} {
			for _, op := range ops {
				l, h := named(op.GetRange())
				if op.GetTxn() != nil {
					l, h = named(op.GetTxn())
				}
				if l != 0 && (low == 0 || l < low) {
					low = l
				}
				high = max(high, h)
			}
		}
	}
	return low, high
}
