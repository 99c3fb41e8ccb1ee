package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

func (r *reader) leaseID() int64 { return int64(r.hex()) }

func (w *writer) leaseID(name string, id int64) { w.hex(name, uint64(id)) }

// optionalLease is leaseID, left out if there is none.
func (w *writer) optionalLease(name string, id int64) {
	if id != 0 {
		w.leaseID(name, id)
	}
}

func (r *reader) leaseIDs() (ids []int64) {
	r.array(func() { ids = append(ids, r.leaseID()) })
	return ids
}

func (w *writer) leaseIDs(name string, ids []int64) {
	w.array(name, len(ids), func(i int) {
		w.value()
		w.hexDigits(uint64(ids[i]))
	})
}

func (r *reader) leaseGrantRequest(m *kvpb.LeaseGrantRequest) {
	r.object(func(name string) bool {
		switch name {
		case "id":
			m.Id = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseGrantRequest(m *kvpb.LeaseGrantRequest) {
	w.object(func() {
		w.optionalLease("id", m.Id)
		w.millis("ttl", m.TtlMillis)
	})
}

func (r *reader) leaseGrantResponse(m *kvpb.LeaseGrantResponse) {
	r.object(func(name string) bool {
		switch name {
		case "id":
			m.Id = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		case "revision":
			m.Revision = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseGrantResponse(m *kvpb.LeaseGrantResponse) {
	w.object(func() {
		w.leaseID("id", m.Id)
		w.millis("ttl", m.TtlMillis)
		w.int("revision", m.Revision)
	})
}

func (r *reader) leaseRevokeRequest(m *kvpb.LeaseRevokeRequest) {
	r.object(func(name string) bool {
		if name != "id" {
			return false
		}
		m.Id = r.leaseID()
		return true
	})
}

func (w *writer) leaseRevokeRequest(m *kvpb.LeaseRevokeRequest) {
	w.object(func() { w.leaseID("id", m.Id) })
}

func (r *reader) leaseRevokeResponse(m *kvpb.LeaseRevokeResponse) {
	r.object(func(name string) bool {
		switch name {
		case "revision":
			m.Revision = r.int64()
		case "deleted":
			m.Deleted = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseRevokeResponse(m *kvpb.LeaseRevokeResponse) {
	w.object(func() {
		w.int("revision", m.Revision)
		w.int("deleted", m.Deleted)
	})
}

func (r *reader) keepAliveRequest(m *kvpb.LeaseKeepAliveRequest) {
	r.object(func(name string) bool {
		if name != "ids" {
			return false
		}
		m.Ids = r.leaseIDs()
		return true
	})
}

func (w *writer) keepAliveRequest(m *kvpb.LeaseKeepAliveRequest) {
	w.object(func() { w.leaseIDs("ids", m.Ids) })
}

func (r *reader) keepAliveResponse(m *kvpb.LeaseKeepAliveResponse) {
	r.object(func(name string) bool {
		if name != "leases" {
			return false
		}
		r.array(func() {
			state := new(kvpb.LeaseState)
			r.leaseState(state)
			m.Leases = append(m.Leases, state)
		})
		return true
	})
}

func (w *writer) keepAliveResponse(m *kvpb.LeaseKeepAliveResponse) {
	w.object(func() {
		w.array("leases", len(m.Leases), func(i int) { w.leaseState(m.Leases[i]) })
	})
}

func (r *reader) leaseState(m *kvpb.LeaseState) {
	r.object(func(name string) bool {
		switch name {
		case "id":
			m.Id = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		case "left":
			m.LeftMillis = r.millis()
		case "error":
			m.Error = r.string()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseState(m *kvpb.LeaseState) {
	w.object(func() {
		w.leaseID("id", m.Id)
		w.optionalMillis("ttl", m.TtlMillis)
		w.optionalMillis("left", m.LeftMillis)
		if m.Error != "" {
			w.string("error", m.Error)
		}
	})
}

func (r *reader) leaseInfoRequest(m *kvpb.LeaseInfoRequest) {
	r.object(func(name string) bool {
		switch name {
		case "id":
			m.Id = r.leaseID()
		case "keys":
			m.Keys = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseInfoRequest(m *kvpb.LeaseInfoRequest) {
	w.object(func() {
		w.leaseID("id", m.Id)
		w.flag("keys", m.Keys)
	})
}

func (r *reader) leaseInfoResponse(m *kvpb.LeaseInfoResponse) {
	r.object(func(name string) bool {
		switch name {
		case "id":
			m.Id = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		case "left":
			m.LeftMillis = r.millis()
		case "keys":
			r.array(func() {
				var key []byte
				r.object(func(name string) bool {
					if name != "key" && name != "key"+inBase64 {
						return false
					}
					key = r.bytes(name)
					return true
				})
				m.Keys = append(m.Keys, key)
			})
		case "revision":
			m.Revision = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseInfoResponse(m *kvpb.LeaseInfoResponse) {
	w.object(func() {
		w.leaseID("id", m.Id)
		w.millis("ttl", m.TtlMillis)
		w.millis("left", m.LeftMillis)
		w.list("keys", len(m.Keys), func(i int) {
			w.object(func() { w.bytes("key", m.Keys[i]) })
		})
		w.int("revision", m.Revision)
	})
}

func (r *reader) leaseListRequest(m *kvpb.LeaseListRequest) {
	r.object(func(name string) bool {
		switch name {
		case "after":
			m.After = r.leaseID()
		case "limit":
			m.Limit = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseListRequest(m *kvpb.LeaseListRequest) {
	w.object(func() {
		w.optionalLease("after", m.After)
		w.number("limit", m.Limit)
	})
}

func (r *reader) leaseListResponse(m *kvpb.LeaseListResponse) {
	r.object(func(name string) bool {
		switch name {
		case "ids":
			m.Ids = r.leaseIDs()
		case "more":
			m.More = r.bool()
		case "revision":
			m.Revision = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaseListResponse(m *kvpb.LeaseListResponse) {
	w.object(func() {
		w.leaseIDs("ids", m.Ids)
		w.flag("more", m.More)
		w.int("revision", m.Revision)
	})
}
