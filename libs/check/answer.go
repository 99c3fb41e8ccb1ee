package check

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// revisionOf is the store's revision in an answer; ok is false for what is no
// answer of a history.
func revisionOf(resp proto.Message) (revision int64, ok bool) {
	switch p := resp.(type) {
	case *kvpb.RangeResponse:
		return p.Revision, true
	case *kvpb.PutResponse:
		return p.Revision, true
	case *kvpb.DeleteRangeResponse:
		return p.Revision, true
	case *kvpb.TxnResponse:
		return p.Revision, true
	case *kvpb.CompactResponse:
		return p.Revision, true
	case *kvpb.LeaseRevokeResponse:
		return p.Revision, true
	}
	return 0, false
}

// changed tells from its answer whether a request made a revision; sure is false
// where the answer leaves it out.
func changed(resp proto.Message) (made, sure bool) {
	switch p := resp.(type) {
	case *kvpb.PutResponse:
		return true, true
	case *kvpb.DeleteRangeResponse:
		return p.Deleted > 0, true
	case *kvpb.LeaseRevokeResponse:
		return p.Deleted > 0, true
	case *kvpb.TxnResponse:
		if p.ResultsOmitted {
			return false, false
		}
		for _, op := range p.Responses {
			switch {
			case op.GetPut() != nil, op.GetDeleteRange().GetDeleted() > 0:
				return true, true
			case op.GetTxn() != nil:
				if made, sure := changed(op.GetTxn()); made || !sure {
					return made, sure
				}
			}
		}
	}
	return false, true
}

// differs holds an answer against what it should be.
func differs(request, got, want proto.Message, repeated bool) error {
	if have, _ := revisionOf(got); true {
		if should, _ := revisionOf(want); have != should {
			return fmt.Errorf("revision %d, want %d", have, should)
		}
	}
	if repeated && proto.Size(want) > api.DedupResultBytes {
		return nil // it may be stripped
	}
	switch w := want.(type) {
	case *kvpb.RangeResponse:
		if g, ok := got.(*kvpb.RangeResponse); ok {
			return pageDiffers(request.(*kvpb.RangeRequest), g, w)
		}
	case *kvpb.PutResponse:
		if g, ok := got.(*kvpb.PutResponse); ok {
			return putDiffers(g, w)
		}
	case *kvpb.DeleteRangeResponse:
		if g, ok := got.(*kvpb.DeleteRangeResponse); ok {
			return deleteDiffers(g, w)
		}
	case *kvpb.TxnResponse:
		if g, ok := got.(*kvpb.TxnResponse); ok {
			return txnDiffers(request.(*kvpb.TxnRequest), g, w)
		}
	case *kvpb.CompactResponse:
		if g, ok := got.(*kvpb.CompactResponse); ok {
			return number("compacted", g.Compacted, w.Compacted)
		}
	case *kvpb.LeaseRevokeResponse:
		if g, ok := got.(*kvpb.LeaseRevokeResponse); ok {
			return number("deleted", g.Deleted, w.Deleted)
		}
	}
	return fmt.Errorf("the answer to a %T is a %T", request, got)
}

func number(what string, got, want int64) error {
	if got != want {
		return fmt.Errorf("%s is %d, want %d", what, got, want)
	}
	return nil
}

// pageShortBytes: a page of fewer bytes has no reason to end early.
const pageShortBytes = api.MaxAnswerBytes / 2

func pageDiffers(q *kvpb.RangeRequest, got, want *kvpb.RangeResponse) error {
	if err := number("count", got.Count, want.Count); err != nil {
		return err
	}
	kvs, more := want.Kvs, want.More
	if n := len(got.Kvs); n > 0 && n < len(kvs) && (q.MaxBytes > 0 || proto.Size(want) > pageShortBytes) {
		kvs, more = kvs[:n], true
	}
	if err := listDiffers("kvs", got.Kvs, kvs); err != nil {
		return err
	}
	if got.More != more {
		return fmt.Errorf("more is %t, want %t", got.More, more)
	}
	return nil
}

func putDiffers(got, want *kvpb.PutResponse) error {
	if !sameKV(got.PrevKv, want.PrevKv) {
		return fmt.Errorf("prev_kv is %s, want %s", showKV(got.PrevKv), showKV(want.PrevKv))
	}
	if kv := withoutValue(want.Kv); got.Kv != nil && !sameKV(got.Kv, kv) {
		return fmt.Errorf("kv is %s, want %s", showKV(got.Kv), showKV(kv))
	}
	return nil
}

func deleteDiffers(got, want *kvpb.DeleteRangeResponse) error {
	if err := number("deleted", got.Deleted, want.Deleted); err != nil {
		return err
	}
	return listDiffers("prev_kvs", got.PrevKvs, want.PrevKvs)
}

func txnDiffers(q *kvpb.TxnRequest, got, want *kvpb.TxnResponse) error {
	if got.Succeeded != want.Succeeded {
		return fmt.Errorf("succeeded is %t, want %t", got.Succeeded, want.Succeeded)
	}
	if got.ResultsOmitted && proto.Size(want) > pageShortBytes {
		return nil
	}
	if got.ResultsOmitted || len(got.Responses) != len(want.Responses) {
		return fmt.Errorf("%d results, want %d", len(got.Responses), len(want.Responses))
	}
	ops := q.Failure
	if want.Succeeded {
		ops = q.Success
	}
	for i, op := range ops {
		if err := resultDiffers(op, got.Responses[i], want.Responses[i]); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	return nil
}

// resultDiffers leaves the revisions of results alone: nothing is said of them.
func resultDiffers(op *kvpb.RequestOp, got, want *kvpb.ResponseOp) error {
	switch w := want.Response.(type) {
	case *kvpb.ResponseOp_Range:
		if g := got.GetRange(); g != nil {
			return pageDiffers(op.GetRange(), g, w.Range)
		}
	case *kvpb.ResponseOp_Put:
		if g := got.GetPut(); g != nil {
			return putDiffers(g, w.Put)
		}
	case *kvpb.ResponseOp_DeleteRange:
		if g := got.GetDeleteRange(); g != nil {
			return deleteDiffers(g, w.DeleteRange)
		}
	case *kvpb.ResponseOp_Txn:
		if g := got.GetTxn(); g != nil {
			return txnDiffers(op.GetTxn(), g, w.Txn)
		}
	}
	return fmt.Errorf("of the wrong kind: %T", got.GetResponse())
}

func listDiffers(what string, got, want []*kvpb.KeyValue) error {
	for i := range max(len(got), len(want)) {
		var g, w *kvpb.KeyValue
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if !sameKV(g, w) {
			return fmt.Errorf("%s: at place %d %s, want %s", what, i, showKV(g), showKV(w))
		}
	}
	return nil
}

func sameKV(a, b *kvpb.KeyValue) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ModRevision == b.ModRevision && a.CreateRevision == b.CreateRevision && a.Version == b.Version &&
		a.Lease == b.Lease && a.TtlMillis == b.TtlMillis && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

// eventsDiffer holds a revision's events against what a request does.
func eventsDiffer(got, want []*kvpb.Event) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("%s is missing", showEvent(want[i]))
		case i >= len(want):
			return fmt.Errorf("%s is not of it", showEvent(got[i]))
		case got[i].Type != want[i].Type || got[i].Expired || !sameKV(got[i].Kv, want[i].Kv):
			return fmt.Errorf("%s, want %s", showEvent(got[i]), showEvent(want[i]))
		}
	}
	return nil
}
