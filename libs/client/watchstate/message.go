package watchstate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// ParseLive reads an event message that came on a subject, for a scope of the
// depth given. The event keeps body.
func ParseLive(subj string, header map[string][]string, body []byte, depth int) (Live, error) {
	h := fields{header: header}
	l := Live{Epoch: h.epoch(), Event: &kvpb.Event{Sub: h.number(api.HeaderSub)}}
	kv := &kvpb.KeyValue{Key: h.key(subj), ModRevision: h.number(api.HeaderRevision)}
	l.Event.Kv = kv
	switch kind := h.get(api.HeaderEvent); kind {
	case api.EventPut:
		kv.Value = body
		kv.CreateRevision = h.number(api.HeaderCreateRevision)
		kv.Version = h.number(api.HeaderVersion)
		kv.Lease = h.lease()
		kv.TtlMillis = h.ttl()
	case api.EventDelete:
		l.Event.Type = kvpb.Event_DELETE
		l.Event.Expired = h.get(api.HeaderExpired) == "true"
	default:
		h.fail(api.HeaderEvent, kind)
	}
	l.Since, l.More = h.since(depth)
	return l, h.err
}

// ParseTail reads a tail message.
func ParseTail(header map[string][]string) (Tail, error) {
	h := fields{header: header}
	t := Tail{Epoch: h.epoch(), Through: h.through()}
	return t, h.err
}

// ParseProgress reads a progress message.
func ParseProgress(header map[string][]string) (Progress, error) {
	h := fields{header: header}
	p := Progress{Epoch: h.epoch(), Sequence: uint64(h.number(api.HeaderSequence)), Through: h.through()}
	return p, h.err
}

// fields reads headers and keeps the first error.
type fields struct {
	header map[string][]string
	err    error
}

func (h *fields) get(name string) string {
	if v := h.header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (h *fields) fail(name, value string) {
	if h.err == nil {
		h.err = fmt.Errorf("watch message: header %s has the value %q", name, value)
	}
}

func (h *fields) number(name string) int64 {
	n, err := strconv.ParseInt(h.get(name), 10, 64)
	if err != nil || n < 0 {
		h.fail(name, h.get(name))
	}
	return n
}

func (h *fields) lease() int64 {
	v := h.get(api.HeaderLease)
	if v == "" {
		return 0
	}
	id, err := strconv.ParseUint(v, 16, 64)
	if err != nil {
		h.fail(api.HeaderLease, v)
	}
	return int64(id)
}

func (h *fields) ttl() int64 {
	v := h.get(api.HeaderTTL)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		h.fail(api.HeaderTTL, v)
	}
	return d.Milliseconds()
}

func (h *fields) epoch() api.Epoch {
	e, err := api.ParseEpoch(h.get(api.HeaderEpoch))
	if err != nil {
		h.fail(api.HeaderEpoch, h.get(api.HeaderEpoch))
	}
	return e
}

func (h *fields) through() api.Position {
	return h.position(api.HeaderThrough, h.get(api.HeaderThrough))
}

func (h *fields) position(name, value string) api.Position {
	p, err := api.ParsePosition(value)
	if err != nil {
		h.fail(name, value)
	}
	return p
}

func (h *fields) key(subj string) []byte {
	var key []byte
	var err error
	if escaped := h.get(api.HeaderKey); escaped != "" {
		key, err = subject.UnescapeHeader(escaped)
	} else {
		key, err = subject.Decode(strings.TrimPrefix(subj, api.SubjectWatch))
	}
	if err != nil && h.err == nil {
		h.err = fmt.Errorf("watch message on %s: %w", subj, err)
	}
	return key
}

// since is the element of Kv-Since for a depth, and its '+'.
func (h *fields) since(depth int) (api.Position, bool) {
	all := h.get(api.HeaderSince)
	list := strings.Fields(all)
	if depth < 0 {
		depth = len(list) - 1
	}
	if depth < 0 || depth >= len(list) {
		h.fail(api.HeaderSince, all)
		return api.Position{}, false
	}
	text, more := strings.CutSuffix(list[depth], "+")
	return h.position(api.HeaderSince, text), more
}
