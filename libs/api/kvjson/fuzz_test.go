package kvjson_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

var messages = []proto.Message{
	&kvpb.RangeRequest{}, &kvpb.PutRequest{}, &kvpb.DeleteRangeRequest{}, &kvpb.TxnRequest{}, &kvpb.CompactRequest{},
	&kvpb.HistoryRequest{}, &kvpb.SyncRequest{}, &kvpb.StatusRequest{},
	&kvpb.LeaseGrantRequest{}, &kvpb.LeaseRevokeRequest{}, &kvpb.LeaseKeepAliveRequest{}, &kvpb.LeaseInfoRequest{}, &kvpb.LeaseListRequest{},
	&kvpb.LockRequest{}, &kvpb.UnlockRequest{}, &kvpb.ProclaimRequest{}, &kvpb.LeaderRequest{},
	&kvpb.RangeResponse{}, &kvpb.PutResponse{}, &kvpb.DeleteRangeResponse{}, &kvpb.TxnResponse{}, &kvpb.CompactResponse{},
	&kvpb.HistoryResponse{}, &kvpb.SyncResponse{}, &kvpb.StatusResponse{},
	&kvpb.LeaseGrantResponse{}, &kvpb.LeaseRevokeResponse{}, &kvpb.LeaseKeepAliveResponse{}, &kvpb.LeaseInfoResponse{}, &kvpb.LeaseListResponse{},
	&kvpb.LockResponse{}, &kvpb.UnlockResponse{}, &kvpb.ProclaimResponse{}, &kvpb.LeaderResponse{},
	&kvpb.KeyValue{}, &kvpb.LeaseState{}, &kvpb.Event{}, &kvpb.Error{},
}

// Whatever a message says, its JSON says: no field is forgotten in either
// direction, also not one that is added to kv.proto later.
func TestRandomMessagesRoundTrip(t *testing.T) {
	for _, of := range messages {
		r := rand.New(rand.NewPCG(3, 4))
		for range 2000 {
			m := of.ProtoReflect().New()
			fill(r, m, 4)
			if !roundTrip(t, m.Interface()) {
				return
			}
		}
	}
}

func roundTrip(t *testing.T, m proto.Message) bool {
	data, err := kvjson.Marshal(m)
	if err != nil || !json.Valid(data) {
		t.Errorf("%T %v: %v\n%s", m, m, err, data)
		return false
	}
	back := m.ProtoReflect().New().Interface()
	if err := kvjson.Unmarshal(data, back); err != nil || !proto.Equal(m, back) {
		t.Errorf("%T: %v\n%s\ngives %v\nwant %v", m, err, data, back, m)
		return false
	}
	return true
}

// fill sets every field of m to something, at random also to nothing.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	if oneofs := m.Descriptor().Oneofs(); oneofs.Len() > 0 {
		i := r.IntN(fields.Len())
		if depth <= 1 {
			i = r.IntN(fields.Len() - 1) // the last one nests
		}
		fill(r, m.Mutable(fields.Get(i)).Message(), depth-1)
		return
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case r.IntN(3) == 0:
		case f.IsList():
			for range r.IntN(3) {
				if depth <= 0 {
					break
				}
				if f.Kind() == protoreflect.MessageKind {
					fill(r, m.Mutable(f).List().AppendMutable().Message(), depth-1)
				} else {
					m.Mutable(f).List().Append(scalar(r, f))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			fill(r, m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, scalar(r, f))
		}
	}
	switch m := m.Interface().(type) {
	case *kvpb.Compare:
		// A comparison has one operand, and a lock is no range.
		switch m.Target {
		case kvpb.Compare_VALUE:
			m.Number = 0
		case kvpb.Compare_LOCK:
			m.RangeEnd = nil
			fallthrough
		default:
			m.Value = nil
		}
	case *kvpb.Position:
		m.Revision, m.Sub = m.Revision&(1<<62-1), m.Sub&(1<<31-1)
	}
}

// longestMillis is the longest duration that has a form.
const longestMillis = math.MaxInt64 / 1_000_000

func scalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.Int64Kind:
		if strings.HasSuffix(string(f.Name()), "_millis") {
			return protoreflect.ValueOfInt64(r.Int64N(2*longestMillis+1) - longestMillis)
		}
		return protoreflect.ValueOfInt64(int64(r.Uint64() >> r.IntN(64)))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(r.Uint64() >> r.IntN(64))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.IntN(f.Enum().Values().Len())))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "node-1", "é\"\\\n", "\u2028😀\x00"}[r.IntN(4)])
	case protoreflect.BytesKind:
		b := make([]byte, r.IntN(6))
		alphabet := []byte("ab/\"\\\x00\n\x7f\xff\xc3\xa9")
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return protoreflect.ValueOfBytes(b)
	}
	panic("no value for " + f.FullName())
}

// fuzz feeds text to the reader of messages of m's type. What it takes must be
// JSON, and must come back from what it was understood as.
func fuzz(f *testing.F, m proto.Message) {
	for _, c := range golden {
		if c.m.ProtoReflect().Descriptor() == m.ProtoReflect().Descriptor() {
			f.Add([]byte(c.json))
		}
	}
	for _, s := range []string{``, `{`, `{"`, `{"a`, `{"key":"\`, `{"key":"\u`, `{"key_base64":"/w=="}`, `{"x":[[{}]]}`, "{}\x00", `{"key":"\ud83d\ude00"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := m.ProtoReflect().New().Interface()
		if err := kvjson.Unmarshal(data, got); err != nil {
			if api.KindOf(err) != api.KindBadRequest {
				t.Fatalf("error %v is no bad_request", err)
			}
			return
		}
		if len(data) > 0 && !json.Valid(data) {
			t.Fatalf("%q is no JSON, and was taken as %v", data, got)
		}
		roundTrip(t, got)
	})
}

func FuzzRange(f *testing.F)                  { fuzz(f, &kvpb.RangeRequest{}) }
func FuzzPut(f *testing.F)                    { fuzz(f, &kvpb.PutRequest{}) }
func FuzzDelete(f *testing.F)                 { fuzz(f, &kvpb.DeleteRangeRequest{}) }
func FuzzTxn(f *testing.F)                    { fuzz(f, &kvpb.TxnRequest{}) }
func FuzzCompact(f *testing.F)                { fuzz(f, &kvpb.CompactRequest{}) }
func FuzzHistory(f *testing.F)                { fuzz(f, &kvpb.HistoryRequest{}) }
func FuzzSync(f *testing.F)                   { fuzz(f, &kvpb.SyncRequest{}) }
func FuzzStatus(f *testing.F)                 { fuzz(f, &kvpb.StatusRequest{}) }
func FuzzRangeResponse(f *testing.F)          { fuzz(f, &kvpb.RangeResponse{}) }
func FuzzPutResponse(f *testing.F)            { fuzz(f, &kvpb.PutResponse{}) }
func FuzzDeleteResponse(f *testing.F)         { fuzz(f, &kvpb.DeleteRangeResponse{}) }
func FuzzTxnResponse(f *testing.F)            { fuzz(f, &kvpb.TxnResponse{}) }
func FuzzCompactResponse(f *testing.F)        { fuzz(f, &kvpb.CompactResponse{}) }
func FuzzHistoryResponse(f *testing.F)        { fuzz(f, &kvpb.HistoryResponse{}) }
func FuzzSyncResponse(f *testing.F)           { fuzz(f, &kvpb.SyncResponse{}) }
func FuzzStatusResponse(f *testing.F)         { fuzz(f, &kvpb.StatusResponse{}) }
func FuzzLeaseGrant(f *testing.F)             { fuzz(f, &kvpb.LeaseGrantRequest{}) }
func FuzzLeaseRevoke(f *testing.F)            { fuzz(f, &kvpb.LeaseRevokeRequest{}) }
func FuzzLeaseKeepAlive(f *testing.F)         { fuzz(f, &kvpb.LeaseKeepAliveRequest{}) }
func FuzzLeaseInfo(f *testing.F)              { fuzz(f, &kvpb.LeaseInfoRequest{}) }
func FuzzLeaseList(f *testing.F)              { fuzz(f, &kvpb.LeaseListRequest{}) }
func FuzzLock(f *testing.F)                   { fuzz(f, &kvpb.LockRequest{}) }
func FuzzUnlock(f *testing.F)                 { fuzz(f, &kvpb.UnlockRequest{}) }
func FuzzProclaim(f *testing.F)               { fuzz(f, &kvpb.ProclaimRequest{}) }
func FuzzLeader(f *testing.F)                 { fuzz(f, &kvpb.LeaderRequest{}) }
func FuzzLeaseGrantResponse(f *testing.F)     { fuzz(f, &kvpb.LeaseGrantResponse{}) }
func FuzzLeaseRevokeResponse(f *testing.F)    { fuzz(f, &kvpb.LeaseRevokeResponse{}) }
func FuzzLeaseKeepAliveResponse(f *testing.F) { fuzz(f, &kvpb.LeaseKeepAliveResponse{}) }
func FuzzLeaseInfoResponse(f *testing.F)      { fuzz(f, &kvpb.LeaseInfoResponse{}) }
func FuzzLeaseListResponse(f *testing.F)      { fuzz(f, &kvpb.LeaseListResponse{}) }
func FuzzLockResponse(f *testing.F)           { fuzz(f, &kvpb.LockResponse{}) }
func FuzzUnlockResponse(f *testing.F)         { fuzz(f, &kvpb.UnlockResponse{}) }
func FuzzProclaimResponse(f *testing.F)       { fuzz(f, &kvpb.ProclaimResponse{}) }
func FuzzLeaderResponse(f *testing.F)         { fuzz(f, &kvpb.LeaderResponse{}) }
func FuzzEvent(f *testing.F)                  { fuzz(f, &kvpb.Event{}) }
func FuzzError(f *testing.F)                  { fuzz(f, &kvpb.Error{}) }

func FuzzList(f *testing.F) {
	for _, s := range []string{``, `{"limit":1}`, token("\x01\x00\x00\x00\x00\x00\x00\x00\x0c/db/a"), token("\x02"), `{"continue":"\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := kvjson.ParseList(data, dbStart, dbEnd)
		switch {
		case err != nil && api.KindOf(err) != api.KindBadRequest:
			t.Fatalf("error %v is no bad_request", err)
		case err == nil && (bytes.Compare(m.Key, dbStart) < 0 || !bytes.Equal(m.RangeEnd, dbEnd)):
			t.Fatalf("%q leaves its range: [%q, %q)", data, m.Key, m.RangeEnd)
		}
	})
}
