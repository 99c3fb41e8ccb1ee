package node

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// hasUnknown reports whether a message or one inside it has unknown fields.
func hasUnknown(m proto.Message) bool {
	found := false
	// The walk ends early or not at all; it has no other error.
	_ = protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		if v, ok := p.Index(-1).Value.Interface().(protoreflect.Message); ok && len(v.GetUnknown()) > 0 {
			found = true
			return protorange.Terminate
		}
		return nil
	})
	return found
}
