package watch

import (
	"net/textproto"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// request is one request, its options checked.
type request struct {
	body     []byte
	tokens   string // the prefix on the subject, "" for none
	protobuf bool   // of body and answer; else JSON
	// bytes is how large the answer may become.
	bytes int
}

// parseRequest refuses options that it does not know, instead of ignoring them.
// What others add to the headers, tracing for example, is left alone.
func parseRequest(op operation, m *nats.Msg) (*request, error) {
	req := &request{body: m.Data, tokens: strings.TrimPrefix(strings.TrimPrefix(m.Subject, op.prefix), ".")}
	for name, values := range m.Header {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if strings.HasPrefix(canonical, "Kv-") {
			return nil, api.Errorf(api.KindBadRequest, "the header %s is not known to this operation: its options go into the body", canonical)
		}
		if canonical != api.HeaderContentType {
			continue
		}
		if len(values) != 1 || !slices.Contains([]string{api.ContentJSON, api.ContentProtobuf}, values[0]) {
			return nil, api.Errorf(api.KindBadRequest, "%s: %q is neither %s nor %s", canonical, values, api.ContentJSON, api.ContentProtobuf)
		}
		req.protobuf = values[0] == api.ContentProtobuf
	}
	return req, nil
}

// decode reads the body into m and gives the range that m and the subject name.
func (req *request) decode(m interface {
	proto.Message
	GetKey() []byte
	GetRangeEnd() []byte
}) (fanout.Range, error) {
	var r fanout.Range
	if req.protobuf {
		if err := proto.Unmarshal(req.body, m); err != nil {
			return r, api.Errorf(api.KindBadRequest, "the body is no %s: %v", m.ProtoReflect().Descriptor().Name(), err)
		}
		if hasUnknown(m) {
			return r, api.Errorf(api.KindBadRequest, "the body has fields that this version of %s does not know", m.ProtoReflect().Descriptor().Name())
		}
	} else if err := kvjson.Unmarshal(req.body, m); err != nil {
		return r, err
	}
	r = fanout.Range{Key: m.GetKey(), End: m.GetRangeEnd()}
	if len(r.Key) > api.MaxKeyBytes || len(r.End) > api.MaxKeyBytes {
		return r, api.Errorf(api.KindBadKey, "a key of the range has more than %d bytes", api.MaxKeyBytes)
	}
	if req.tokens == "" {
		return r, nil
	}
	if len(r.Key)+len(r.End) > 0 {
		return r, api.Errorf(api.KindBadRequest, "the subject names the prefix %s and the body a key or range: give one of them", req.tokens)
	}
	var err error
	r.Key, r.End, err = subject.DecodePrefix(req.tokens)
	return r, err
}

// hasUnknown reports unknown fields in a request, whose only nested message is
// a position.
func hasUnknown(m proto.Message) bool {
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return true
	}
	h, ok := m.(*kvpb.HistoryRequest)
	return ok && h.Since != nil && len(h.Since.ProtoReflect().GetUnknown()) > 0
}
