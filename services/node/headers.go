package node

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
)

// headers are a request's, checked against those that its operation knows: an
// option that would be ignored is an error.
type headers []header

type header struct{ name, value string }

func (h headers) get(name string) (value string, present bool) {
	for _, x := range h {
		if x.name == name {
			return x.value, true
		}
	}
	return "", false
}

func parseHeaders(h nats.Header, known ...string) (headers, error) {
	if len(h) == 0 {
		return nil, nil
	}
	out := make(headers, 0, len(h))
	for name, values := range h {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		ours := strings.HasPrefix(canonical, "Kv-")
		if !ours && canonical != api.HeaderMsgID && canonical != api.HeaderContentType {
			continue // somebody else's, tracing for example
		}
		if ours && !slices.Contains(known, canonical) {
			return nil, api.Errorf(api.KindBadRequest, "the header %s is not known to this operation: it takes %s", canonical, strings.Join(known, ", "))
		}
		if _, twice := out.get(canonical); twice || len(values) != 1 {
			return nil, api.Errorf(api.KindBadRequest, "the header %s is given more than once", canonical)
		}
		out = append(out, header{canonical, strings.TrimSpace(values[0])})
	}
	return out, nil
}

// flag reads true or false; false where the header is absent.
func (h headers) flag(name string) (bool, error) {
	switch v, ok := h.get(name); {
	case !ok || v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, api.Errorf(api.KindBadRequest, "%s: %q is neither true nor false", name, v)
	}
}

// revision reads a revision, at least 0; present tells whether it is there.
func (h headers) revision(name string) (rev int64, present bool, err error) {
	v, ok := h.get(name)
	if !ok {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, false, api.Errorf(api.KindBadRequest, "%s: %q is not a revision, a whole number from 0", name, v)
	}
	return n, true, nil
}

// lease reads a lease id, 16 hex digits; 0 where the header is absent.
func (h headers) lease() (int64, error) {
	v, ok := h.get(api.HeaderLease)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 16, 64)
	if err != nil || len(v) != 16 || n == 0 {
		return 0, api.Errorf(api.KindBadRequest, "%s: %q is not a lease id, 16 hex digits", api.HeaderLease, v)
	}
	return int64(n), nil
}

// ttl reads a time to live in milliseconds; 0 where the header is absent. The
// bounds that it tells of are looked at elsewhere, but for zero, which would
// mean none.
func (h headers) ttl() (millis int64, err error) {
	v, ok := h.get(api.HeaderTTL)
	if !ok {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d%time.Millisecond != 0 {
		return 0, api.Errorf(api.KindBadRequest, "%s: %q is not a duration of whole milliseconds from %d to %d ms, such as 1500ms or 2m",
			api.HeaderTTL, v, api.MinTTLMillis, int64(api.MaxLeaseMillis))
	}
	return d.Milliseconds(), nil
}

// serializable reads the consistency that a read asks for.
func (h headers) serializable() (bool, error) {
	switch v, ok := h.get(api.HeaderConsistency); {
	case !ok || v == api.ConsistencyLinearizable:
		return false, nil
	case v == api.ConsistencySerializable:
		return true, nil
	default:
		return false, api.Errorf(api.KindBadRequest, "%s: %q is neither %s nor %s", api.HeaderConsistency, v, api.ConsistencyLinearizable, api.ConsistencySerializable)
	}
}

// form is how a request's body is written, and how its answer is to be.
type form int

const (
	formJSON form = iota
	formProtobuf
)

func (h headers) form() (form, error) {
	switch v, ok := h.get(api.HeaderContentType); {
	case !ok || v == api.ContentJSON:
		return formJSON, nil
	case v == api.ContentProtobuf:
		return formProtobuf, nil
	default:
		return 0, api.Errorf(api.KindBadRequest, "%s: %q is neither %s nor %s", api.HeaderContentType, v, api.ContentJSON, api.ContentProtobuf)
	}
}

// msgID reads the id under which a write takes effect once.
func (h headers) msgID() (string, error) {
	id, ok := h.get(api.HeaderMsgID)
	if ok && (id == "" || len(id) > api.MaxMsgIDBytes) {
		return "", api.Errorf(api.KindBadRequest, "%s is empty or longer than %d bytes", api.HeaderMsgID, api.MaxMsgIDBytes)
	}
	return id, nil
}
