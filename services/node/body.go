package node

import (
	"strconv"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
)

// unmarshal reads a body in one of its forms. Unknown protobuf fields are
// refused as unknown JSON ones are.
func (f form) unmarshal(body []byte, m proto.Message) error {
	if f == formJSON {
		return kvjson.Unmarshal(body, m)
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return api.Errorf(api.KindBadRequest, "the body is no %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	if hasUnknown(m) {
		return api.Errorf(api.KindBadRequest, "the body has fields that this version of %s does not know", m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// answer writes a message in the form that the request came in.
func (f form) answer(m proto.Message, revision int64) (answer, error) {
	a := answer{header: nats.Header{api.HeaderRevision: {number(revision)}}}
	var err error
	if f == formJSON {
		a.body, err = kvjson.Marshal(m)
	} else {
		a.header[api.HeaderContentType] = []string{api.ContentProtobuf}
		a.body, err = proto.Marshal(m)
	}
	return a, err
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
