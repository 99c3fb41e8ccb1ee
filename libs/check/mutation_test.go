package check

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// A right history is changed in one place at random, and nearly always that must
// be seen. Not all of it is wrong: an answer to a serializable read may be taken
// for that of another, a request that changed nothing may have been refused.
func TestRandomMutations(t *testing.T) {
	const tries = 600
	rng := rand.New(rand.NewPCG(1, 1))
	missed := map[string]int{}
	right := record(t, 1, 500)
	for i := range tries {
		if i%50 == 0 {
			right = record(t, uint64(i), 500)
		}
		h := copyOf(right)
		kind, what := mutate(rng, &h)
		if err := Linearizable(h); err == nil {
			missed[kind]++
			t.Logf("not seen: %s: %s", kind, what)
		}
	}
	total := 0
	for _, n := range missed {
		total += n
	}
	t.Logf("not seen: %d of %d, %v", total, tries, missed)
	if total > tries/10 {
		t.Errorf("%d of %d mutations were not seen", total, tries)
	}
}

func mutate(rng *rand.Rand, h *History) (kind, what string) {
	for {
		i := rng.IntN(len(h.Ops))
		op := &h.Ops[i]
		switch rng.IntN(9) {
		case 0, 1, 2:
			if op.Response != nil {
				return "answer", change(rng, op.Response.ProtoReflect()) + " of " + op.String()
			}
		case 3:
			ev := h.Events[rng.IntN(len(h.Events))]
			if ev.Expired || h.Others(ev.Kv.Key) {
				continue // whose doing that is, nobody knows
			}
			before := showEvent(ev)
			return "event", change(rng, ev.ProtoReflect()) + " of " + before
		case 4:
			j := rng.IntN(len(h.Events))
			what := showEvent(h.Events[j])
			h.Events = append(h.Events[:j:j], h.Events[j+1:]...)
			return "event dropped", what
		case 5:
			j := rng.IntN(len(h.Events))
			h.Events = append(h.Events[:j:j], append([]*kvpb.Event{h.Events[j]}, h.Events[j:]...)...)
			return "event repeated", showEvent(h.Events[j])
		case 6:
			if made, _ := changed(op.Response); made {
				op.Response, op.Err = nil, &api.Error{Kind: api.KindUnavailable}
				return "acknowledged write refused", op.String()
			}
		case 7: // another answer to the same question
			other := &h.Ops[rng.IntN(len(h.Ops))]
			a, aok := op.Response.(*kvpb.RangeResponse)
			b, bok := other.Response.(*kvpb.RangeResponse)
			if aok && bok && a.Revision != b.Revision && !weak(op.Request) {
				op.Response = other.Response
				return "answer of another", fmt.Sprint(op, " instead of ", a)
			}
		case 8:
			if op.Response != nil && !weak(op.Request) && op.Return < h.Ops[len(h.Ops)-1].Call-2000 && op.MsgID == "" {
				what := op.String()
				op.Call, op.Return = op.Call+2000, op.Return+2000
				return "asked later", what
			}
		}
	}
}

// change changes one field of a message, or of a message in it.
func change(rng *rand.Rand, m protoreflect.Message) string {
	fields := m.Descriptor().Fields()
	for {
		f := fields.Get(rng.IntN(fields.Len()))
		name := string(m.Descriptor().Name()) + "." + string(f.Name())
		switch {
		case f.Name() == "results_omitted" || f.ContainingMessage().Name() == "TxnResponse" && f.Name() == "revision" && m.Get(f).Int() == 0:
			continue
		case f.IsList():
			if list := m.Mutable(f).List(); list.Len() > 0 {
				if rng.IntN(3) == 0 {
					list.Truncate(list.Len() - 1)
					return name + " without its last"
				}
				return change(rng, list.Get(rng.IntN(list.Len())).Message())
			}
		case f.Kind() == protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(m.Get(f).Int()+1-2*rng.Int64N(2)))
			return name
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(!m.Get(f).Bool()))
			return name
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes(append([]byte("x"), m.Get(f).Bytes()...)))
			return name
		case f.Kind() == protoreflect.MessageKind && m.Has(f):
			return change(rng, m.Mutable(f).Message())
		}
	}
}
