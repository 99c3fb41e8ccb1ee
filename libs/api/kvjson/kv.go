package kvjson

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func (r *reader) keyValue(m *kvpb.KeyValue) {
	r.object(func(name string) bool {
		switch name {
		case "key", "key_base64":
			m.Key = r.bytes(name)
		case "value", "value_base64":
			m.Value = r.bytes(name)
		case "create_revision":
			m.CreateRevision = r.int64()
		case "mod_revision":
			m.ModRevision = r.int64()
		case "version":
			m.Version = r.int64()
		case "lease":
			m.Lease = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		default:
			return false
		}
		return true
	})
}

// keyValue writes what there is of a key: an empty value is left out, and a
// deleted key has its mod revision only.
func (w *writer) keyValue(m *kvpb.KeyValue) {
	w.object(func() {
		w.bytes("key", m.Key)
		w.filled("value", m.Value)
		w.number("create_revision", m.CreateRevision)
		w.number("mod_revision", m.ModRevision)
		w.number("version", m.Version)
		w.optionalLease("lease", m.Lease)
		w.optionalMillis("ttl", m.TtlMillis)
	})
}

// optionalKV writes the field called name, if there is one.
func (w *writer) optionalKV(name string, m *kvpb.KeyValue) {
	if m != nil {
		w.name(name)
		w.keyValue(m)
	}
}

func (w *writer) keyValues(name string, list []*kvpb.KeyValue) {
	w.array(name, len(list), func(i int) { w.keyValue(list[i]) })
}

func (r *reader) optionalKV() *kvpb.KeyValue {
	m := new(kvpb.KeyValue)
	r.keyValue(m)
	return m
}

func (r *reader) keyValues() (list []*kvpb.KeyValue) {
	r.array(func() { list = append(list, r.optionalKV()) })
	return list
}

func (r *reader) event(m *kvpb.Event) {
	revision := int64(-1)
	r.object(func(name string) bool {
		switch name {
		case "type":
			switch s := r.string(); s {
			case api.EventPut:
				m.Type = kvpb.Event_PUT
			case api.EventDelete:
				m.Type = kvpb.Event_DELETE
			default:
				r.fail("want %q or %q", api.EventPut, api.EventDelete)
			}
		case "kv":
			m.Kv = r.optionalKV()
		case "prev":
			m.PrevKv = r.optionalKV()
		case "revision":
			revision = r.int64()
		case "sub":
			m.Sub = r.int64()
		case "last":
			m.Last = r.bool()
		case "expired":
			m.Expired = r.bool()
		default:
			return false
		}
		return true
	})
	if revision >= 0 && revision != m.GetKv().GetModRevision() {
		r.fail("revision %d is not its key's mod_revision %d", revision, m.GetKv().GetModRevision())
	}
}

// event writes the revision beside sub, so that the position needs no digging.
func (w *writer) event(m *kvpb.Event) {
	w.object(func() {
		switch m.Type {
		case kvpb.Event_PUT:
			w.string("type", api.EventPut)
		case kvpb.Event_DELETE:
			w.string("type", api.EventDelete)
		default:
			w.fail("event of unknown type %d", m.Type)
		}
		w.flag("expired", m.Expired)
		w.optionalKV("kv", m.Kv)
		w.optionalKV("prev", m.PrevKv)
		w.int("revision", m.GetKv().GetModRevision())
		w.int("sub", m.Sub)
		w.flag("last", m.Last)
	})
}

func (r *reader) position() *kvpb.Position {
	p, err := api.ParsePosition(r.string())
	if err != nil {
		r.fail("%v", err)
	}
	return &kvpb.Position{Revision: p.Revision, Sub: p.Sub}
}

func (r *reader) epoch() *kvpb.Epoch {
	e, err := api.ParseEpoch(r.string())
	if err != nil {
		r.fail("%v", err)
	}
	return &kvpb.Epoch{Term: e.Term, N: e.N}
}

func (r *reader) errorBody(m *kvpb.Error) {
	r.object(func(name string) bool {
		switch name {
		case "kind":
			m.Kind = r.string()
		case "message":
			m.Message = r.string()
		case "revision":
			m.Revision = r.int64()
		case "mod_revision":
			m.ModRevision = r.int64()
		case "compacted":
			m.Compacted = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) errorBody(m *kvpb.Error) {
	w.object(func() {
		w.string("kind", m.Kind)
		w.string("message", m.Message)
		w.number("revision", m.Revision)
		if m.ModRevision != 0 || m.Kind == string(api.KindCompareFailed) {
			w.int("mod_revision", m.ModRevision)
		}
		w.number("compacted", m.Compacted)
	})
}
