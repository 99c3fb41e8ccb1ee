package check

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// showBytesMax bounds a message in an error.
const showBytesMax = 600

// String names the operation: who, when, what and the answer.
func (op *Op) String() string {
	until, outcome := "?", "no answer"
	if op.Return != Unknown {
		until = seconds(op.Return)
	}
	switch {
	case op.Err != nil:
		outcome = op.Err.Error()
	case op.Response != nil:
		outcome = showMessage(op.Response)
	}
	id := ""
	if op.MsgID != "" {
		id = " (" + op.MsgID + ")"
	}
	if op.IfRevision != nil {
		id += fmt.Sprintf(" if revision %d", *op.IfRevision)
	}
	kind := strings.TrimSuffix(string(op.Request.ProtoReflect().Descriptor().Name()), "Request")
	return fmt.Sprintf("client %d, %s to %s s: %s{%s}%s -> {%s}", op.Client, seconds(op.Call), until, kind, showMessage(op.Request), id, outcome)
}

func seconds(nanos int64) string { return fmt.Sprintf("%.9f", float64(nanos)/1e9) }

func showMessage(m proto.Message) string {
	s := prototext.MarshalOptions{}.Format(m)
	// prototext varies its spaces from build to build, so that nobody relies on them.
	s = strings.ReplaceAll(s, "  ", " ")
	if len(s) > showBytesMax {
		s = s[:showBytesMax] + "..."
	}
	return s
}

func showKV(kv *kvpb.KeyValue) string {
	if kv == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%q = %.40q (created %d, modified %d, version %d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version)
	if kv.Lease != 0 {
		s += fmt.Sprintf(", lease %x", uint64(kv.Lease))
	}
	if kv.TtlMillis != 0 {
		s += fmt.Sprintf(", %d ms", kv.TtlMillis)
	}
	return s + ")"
}

func showEvent(ev *kvpb.Event) string {
	s := fmt.Sprintf("%d.%d ", ev.GetKv().GetModRevision(), ev.Sub)
	switch {
	case ev.Type == kvpb.Event_PUT:
		s += "put " + showKV(ev.Kv)
	case ev.Expired:
		s += fmt.Sprintf("expiry of %q", ev.Kv.GetKey())
	default:
		s += fmt.Sprintf("delete of %q", ev.Kv.GetKey())
	}
	if ev.Last {
		s += ", last"
	}
	return s
}

func showEvents(events []*kvpb.Event) string {
	var all []string
	for i, ev := range events {
		if i == 10 {
			all = append(all, "...")
			break
		}
		all = append(all, showEvent(ev))
	}
	return strings.Join(all, "; ")
}
