package mvcc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
)

// How scripts print what they get.

func showError(err error) string {
	if err == nil {
		return "ok"
	}
	var e *api.Error
	if !errors.As(err, &e) {
		return "fatal: " + err.Error()
	}
	s := e.Error()
	if e.Kind == api.KindCompareFailed {
		s += fmt.Sprintf(" [mod %d]", e.ModRevision)
	}
	if e.Compacted > 0 {
		s += fmt.Sprintf(" [compacted %d]", e.Compacted)
	}
	return s
}

func showResult(out *strings.Builder, r *Result) {
	fmt.Fprintf(out, "@%d ", r.Revision)
	if r.Duplicate {
		out.WriteString("duplicate ")
	}
	if r.Omitted {
		out.WriteString("omitted ")
	}
	if r.Err != nil {
		fmt.Fprintln(out, showError(r.Err))
		return
	}
	switch resp := r.Response.(type) {
	case *kvpb.PutResponse:
		fmt.Fprintln(out, showPut(resp))
	case *kvpb.DeleteRangeResponse:
		fmt.Fprintln(out, showDelete(resp))
	case *kvpb.CompactResponse:
		fmt.Fprintf(out, "compacted %d\n", resp.Compacted)
	case *kvpb.TxnResponse:
		showTxn(out, resp, "")
	case *kvpb.LeaseGrantResponse:
		fmt.Fprintf(out, "granted at %d: %x ttl %d\n", resp.Revision, uint64(resp.Id), resp.TtlMillis)
	case *kvpb.LeaseRevokeResponse:
		fmt.Fprintf(out, "revoked at %d: %d\n", resp.Revision, resp.Deleted)
	default:
		fmt.Fprintf(out, "%T\n", resp)
	}
}

func showKV(kv *kvpb.KeyValue) string {
	s := fmt.Sprintf("%s=%s", kv.GetKey(), kv.GetValue())
	if len(s) > 60 {
		s = fmt.Sprintf("%.8s=(%d bytes)", kv.GetKey(), len(kv.GetValue()))
	}
	s += fmt.Sprintf(" (create %d mod %d version %d", kv.GetCreateRevision(), kv.GetModRevision(), kv.GetVersion())
	if kv.GetLease() != 0 {
		s += fmt.Sprintf(" lease %x", uint64(kv.GetLease()))
	}
	if kv.GetTtlMillis() != 0 {
		s += fmt.Sprintf(" ttl %d", kv.GetTtlMillis())
	}
	return s + ")"
}

func showKVs(kvs []*kvpb.KeyValue) string {
	var parts []string
	for _, kv := range kvs {
		parts = append(parts, showKV(kv))
	}
	return strings.Join(parts, ", ")
}

func showPut(r *kvpb.PutResponse) string {
	s := fmt.Sprintf("put at %d: %s", r.Revision, showKV(r.Kv))
	if r.PrevKv != nil {
		s += " prev " + showKV(r.PrevKv)
	}
	return s
}

func showDelete(r *kvpb.DeleteRangeResponse) string {
	s := fmt.Sprintf("delete at %d: %d", r.Revision, r.Deleted)
	if r.PrevKvs != nil {
		s += " prev " + showKVs(r.PrevKvs)
	}
	return s
}

func showRange(r *kvpb.RangeResponse) string {
	s := fmt.Sprintf("range at %d: count %d", r.Revision, r.Count)
	if r.More {
		s += " more"
	}
	if len(r.Kvs) > 0 {
		s += ": " + showKVs(r.Kvs)
	}
	return s
}

func showTxn(out *strings.Builder, r *kvpb.TxnResponse, indent string) {
	fmt.Fprintf(out, "txn at %d: succeeded %v", r.Revision, r.Succeeded)
	if r.ResultsOmitted {
		out.WriteString(" results omitted")
	}
	out.WriteString("\n")
	for _, op := range r.Responses {
		out.WriteString(indent + "  ")
		switch op := op.Response.(type) {
		case *kvpb.ResponseOp_Range:
			fmt.Fprintln(out, showRange(op.Range))
		case *kvpb.ResponseOp_Put:
			fmt.Fprintln(out, showPut(op.Put))
		case *kvpb.ResponseOp_DeleteRange:
			fmt.Fprintln(out, showDelete(op.DeleteRange))
		case *kvpb.ResponseOp_Txn:
			showTxn(out, op.Txn, indent+"  ")
		}
	}
}

func showPosition(p api.Position) string {
	if p == api.End(p.Revision) {
		return fmt.Sprintf("%d.end", p.Revision)
	}
	return p.String()
}

// showTimer prints the generation of a lease as index.command, of a key as its
// revision.
func showTimer(t Timer) string {
	s := fmt.Sprintf("timer %s generation %d", t.Key, t.Generation)
	if t.Lease != 0 {
		ts := store.TS(t.Generation)
		s = fmt.Sprintf("timer of lease %x generation %d.%d", uint64(t.Lease), ts.Index(), ts%store.MaxCommands)
	}
	if t.Gone {
		return s + " gone"
	}
	return fmt.Sprintf("%s ttl %d", s, t.TTLMillis)
}

func showEvent(e *kvpb.Event) string {
	s := fmt.Sprintf("%d.%d ", e.Kv.ModRevision, e.Sub)
	if e.Type == kvpb.Event_DELETE {
		s += "delete " + string(e.Kv.Key)
	} else {
		s += "put " + showKV(e.Kv)
	}
	if e.PrevKv != nil {
		s += " prev " + showKV(e.PrevKv)
	}
	if e.Expired {
		s += " expired"
	}
	if e.Last {
		s += " last"
	}
	return s
}
