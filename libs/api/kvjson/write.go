package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

func (r *reader) putRequest(m *kvpb.PutRequest) {
	r.object(func(name string) bool {
		switch name {
		case "key", "key_base64":
			m.Key = r.bytes(name)
		case "value", "value_base64":
			m.Value = r.bytes(name)
		case "lease":
			m.Lease = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		case "prev":
			m.PrevKv = r.bool()
		case "ignore_value":
			m.IgnoreValue = r.bool()
		case "ignore_lease":
			m.IgnoreLease = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) putRequest(m *kvpb.PutRequest) {
	w.object(func() {
		w.bytes("key", m.Key)
		if len(m.Value) > 0 || !m.IgnoreValue {
			w.bytes("value", m.Value)
		}
		w.optionalLease("lease", m.Lease)
		w.optionalMillis("ttl", m.TtlMillis)
		w.flag("prev", m.PrevKv)
		w.flag("ignore_value", m.IgnoreValue)
		w.flag("ignore_lease", m.IgnoreLease)
	})
}

func (r *reader) putResponse(m *kvpb.PutResponse) {
	r.object(func(name string) bool {
		switch name {
		case "revision":
			m.Revision = r.int64()
		case "kv":
			m.Kv = r.optionalKV()
		case "prev":
			m.PrevKv = r.optionalKV()
		default:
			return false
		}
		return true
	})
}

func (w *writer) putResponse(m *kvpb.PutResponse, at level) {
	w.object(func() {
		w.revision(m.Revision, at)
		w.optionalKV("kv", m.Kv)
		w.optionalKV("prev", m.PrevKv)
	})
}

func (r *reader) deleteRequest(m *kvpb.DeleteRangeRequest) {
	var keys span
	r.object(func(name string) bool {
		if name == "prev" {
			m.PrevKv = r.bool()
			return true
		}
		return keys.field(r, name)
	})
	m.Key, m.RangeEnd = keys.keys(r)
}

func (w *writer) deleteRequest(m *kvpb.DeleteRangeRequest) {
	w.object(func() {
		w.span(m.Key, m.RangeEnd)
		w.flag("prev", m.PrevKv)
	})
}

func (r *reader) deleteResponse(m *kvpb.DeleteRangeResponse) {
	r.object(func(name string) bool {
		switch name {
		case "revision":
			m.Revision = r.int64()
		case "deleted":
			m.Deleted = r.int64()
		case "prev":
			m.PrevKvs = r.keyValues()
		default:
			return false
		}
		return true
	})
}

func (w *writer) deleteResponse(m *kvpb.DeleteRangeResponse, at level) {
	w.object(func() {
		w.revision(m.Revision, at)
		w.int("deleted", m.Deleted)
		if len(m.PrevKvs) > 0 {
			w.keyValues("prev", m.PrevKvs)
		}
	})
}

func (r *reader) compactRequest(m *kvpb.CompactRequest) {
	r.object(func(name string) bool {
		switch name {
		case "revision":
			m.Revision = r.int64()
		case "physical":
			m.Physical = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) compactRequest(m *kvpb.CompactRequest) {
	w.object(func() {
		w.int("revision", m.Revision)
		w.flag("physical", m.Physical)
	})
}

func (r *reader) compactResponse(m *kvpb.CompactResponse) {
	r.object(func(name string) bool {
		switch name {
		case "revision":
			m.Revision = r.int64()
		case "compacted":
			m.Compacted = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) compactResponse(m *kvpb.CompactResponse) {
	w.object(func() {
		w.int("revision", m.Revision)
		w.int("compacted", m.Compacted)
	})
}
