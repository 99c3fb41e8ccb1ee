package kvjson

import (
	"bytes"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// span reads the fields that say which keys: key, range_end or prefix.
type span struct {
	start, end                 []byte
	hasStart, hasEnd, isPrefix bool
}

// field reads one of the three, or returns false for another name.
func (s *span) field(r *reader, name string) bool {
	switch name {
	case "key", "key_base64":
		s.start, s.hasStart = r.bytes(name), true
	case "range_end", "range_end_base64":
		s.end, s.hasEnd = r.bytes(name), true
	case "prefix":
		s.isPrefix = r.bool()
	default:
		return false
	}
	return true
}

// keys gives the range once the object has ended. A prefix that is empty, and
// was written down as such, means everything.
func (s *span) keys(r *reader) (key, rangeEnd []byte) {
	switch {
	case !s.isPrefix:
		return s.start, s.end
	case s.hasEnd:
		r.fail("prefix and range_end exclude each other")
	case !s.hasStart:
		r.fail("prefix needs a key; \"key\":\"\" means every key")
	case len(s.start) == 0:
		return []byte{0}, []byte{0}
	}
	return s.start, prefixEnd(s.start)
}

// prefixEnd is the first key after all that begin with prefix, "\0" where there
// is none: the range_end that reaches to the end of the store.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return []byte{0}
}

func (w *writer) span(key, rangeEnd []byte) {
	w.bytes("key", key)
	w.filled("range_end", rangeEnd)
}

var sortTargets = [...]string{
	kvpb.RangeRequest_KEY:     "key",
	kvpb.RangeRequest_VERSION: "version",
	kvpb.RangeRequest_CREATE:  "create",
	kvpb.RangeRequest_MOD:     "mod",
	kvpb.RangeRequest_VALUE:   "value",
}

var sortOrders = [...]string{
	kvpb.RangeRequest_NONE:    "",
	kvpb.RangeRequest_ASCEND:  "asc",
	kvpb.RangeRequest_DESCEND: "desc",
}

func (r *reader) rangeRequest(m *kvpb.RangeRequest) {
	var keys span
	r.object(func(name string) bool {
		switch name {
		case "order":
			m.SortOrder = kvpb.RangeRequest_SortOrder(r.oneOf(sortOrders[:]))
		case "sort_by":
			m.SortTarget = kvpb.RangeRequest_SortTarget(r.oneOf(sortTargets[:]))
		default:
			return keys.field(r, name) || r.rangeOption(name, m)
		}
		return true
	})
	m.Key, m.RangeEnd = keys.keys(r)
}

// rangeOption reads an option that kv.range and kv.list share.
func (r *reader) rangeOption(name string, m *kvpb.RangeRequest) bool {
	switch name {
	case "limit":
		m.Limit = r.int64()
	case "revision":
		m.Revision = r.int64()
	case "serializable":
		m.Serializable = r.bool()
	case "keys_only":
		m.KeysOnly = r.bool()
	case "count_only":
		m.CountOnly = r.bool()
	case "min_mod_revision":
		m.MinModRevision = r.int64()
	case "max_mod_revision":
		m.MaxModRevision = r.int64()
	case "min_create_revision":
		m.MinCreateRevision = r.int64()
	case "max_create_revision":
		m.MaxCreateRevision = r.int64()
	case "min_revision":
		m.MinRevision = r.int64()
	case "max_bytes":
		m.MaxBytes = r.int64()
	default:
		return false
	}
	return true
}

func (w *writer) rangeRequest(m *kvpb.RangeRequest) {
	w.object(func() {
		w.span(m.Key, m.RangeEnd)
		w.number("limit", m.Limit)
		w.number("revision", m.Revision)
		if m.SortOrder != kvpb.RangeRequest_NONE {
			w.oneOf("order", sortOrders[:], int(m.SortOrder))
		}
		if m.SortTarget != kvpb.RangeRequest_KEY {
			w.oneOf("sort_by", sortTargets[:], int(m.SortTarget))
		}
		w.flag("serializable", m.Serializable)
		w.flag("keys_only", m.KeysOnly)
		w.flag("count_only", m.CountOnly)
		w.number("min_mod_revision", m.MinModRevision)
		w.number("max_mod_revision", m.MaxModRevision)
		w.number("min_create_revision", m.MinCreateRevision)
		w.number("max_create_revision", m.MaxCreateRevision)
		w.number("min_revision", m.MinRevision)
		w.number("max_bytes", m.MaxBytes)
	})
}

func (r *reader) rangeResponse(m *kvpb.RangeResponse) {
	r.object(func(name string) bool {
		switch name {
		case "kvs":
			m.Kvs = r.keyValues()
		case "count":
			m.Count = r.int64()
		case "revision":
			m.Revision = r.int64()
		case "more":
			m.More = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) rangeResponse(m *kvpb.RangeResponse, at level) {
	w.object(func() {
		w.keyValues("kvs", m.Kvs)
		w.int("count", m.Count)
		w.revision(m.Revision, at)
		w.flag("more", m.More)
	})
}
