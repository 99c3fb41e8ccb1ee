package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

// A lock's name is a key's beginning, so that it has a key's two forms. It is
// left out where the subject says it.

func (r *reader) lockRequest(m *kvpb.LockRequest) {
	r.object(func(name string) bool {
		switch name {
		case "name", "name_base64":
			m.Name = r.bytes(name)
		case "lease":
			m.Lease = r.leaseID()
		case "ttl":
			m.TtlMillis = r.millis()
		case "wait":
			m.WaitMillis = r.millis()
		case "value", "value_base64":
			m.Value = r.bytes(name)
		default:
			return false
		}
		return true
	})
}

func (w *writer) lockRequest(m *kvpb.LockRequest) {
	w.object(func() {
		w.filled("name", m.Name)
		w.optionalLease("lease", m.Lease)
		w.optionalMillis("ttl", m.TtlMillis)
		w.optionalMillis("wait", m.WaitMillis)
		w.filled("value", m.Value)
	})
}

func (r *reader) lockResponse(m *kvpb.LockResponse) {
	r.object(func(name string) bool {
		switch name {
		case "held":
			m.Held = r.bool()
		case "key", "key_base64":
			m.Key = r.bytes(name)
		case "fence":
			m.Fence = r.int64()
		case "lease":
			m.Lease = r.leaseID()
		case "ahead":
			m.Ahead = r.int64()
		case "revision":
			m.Revision = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) lockResponse(m *kvpb.LockResponse) {
	w.object(func() {
		w.bool("held", m.Held)
		w.bytes("key", m.Key)
		w.int("fence", m.Fence)
		w.leaseID("lease", m.Lease)
		w.number("ahead", m.Ahead)
		w.int("revision", m.Revision)
	})
}

func (r *reader) unlockRequest(m *kvpb.UnlockRequest) {
	r.object(func(name string) bool {
		switch name {
		case "name", "name_base64":
			m.Name = r.bytes(name)
		case "lease":
			m.Lease = r.leaseID()
		case "fence":
			m.Fence = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) unlockRequest(m *kvpb.UnlockRequest) {
	w.object(func() {
		w.filled("name", m.Name)
		w.optionalLease("lease", m.Lease)
		w.number("fence", m.Fence)
	})
}

// revisionOnly reads an answer that is nothing but a revision.
func (r *reader) revisionOnly() (revision int64) {
	r.object(func(name string) bool {
		if name != "revision" {
			return false
		}
		revision = r.int64()
		return true
	})
	return revision
}

func (w *writer) revisionOnly(revision int64) {
	w.object(func() { w.int("revision", revision) })
}

func (r *reader) proclaimRequest(m *kvpb.ProclaimRequest) {
	r.object(func(name string) bool {
		switch name {
		case "name", "name_base64":
			m.Name = r.bytes(name)
		case "lease":
			m.Lease = r.leaseID()
		case "fence":
			m.Fence = r.int64()
		case "value", "value_base64":
			m.Value = r.bytes(name)
		default:
			return false
		}
		return true
	})
}

func (w *writer) proclaimRequest(m *kvpb.ProclaimRequest) {
	w.object(func() {
		w.filled("name", m.Name)
		w.optionalLease("lease", m.Lease)
		w.number("fence", m.Fence)
		w.bytes("value", m.Value)
	})
}

func (r *reader) leaderRequest(m *kvpb.LeaderRequest) {
	r.object(func(name string) bool {
		switch name {
		case "name", "name_base64":
			m.Name = r.bytes(name)
		case "after":
			m.After = r.int64()
		case "wait":
			m.WaitMillis = r.millis()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaderRequest(m *kvpb.LeaderRequest) {
	w.object(func() {
		w.filled("name", m.Name)
		w.number("after", m.After)
		w.optionalMillis("wait", m.WaitMillis)
	})
}

func (r *reader) leaderResponse(m *kvpb.LeaderResponse) {
	r.object(func(name string) bool {
		switch name {
		case "leader":
			m.Leader = r.optionalKV()
		case "revision":
			m.Revision = r.int64()
		default:
			return false
		}
		return true
	})
}

func (w *writer) leaderResponse(m *kvpb.LeaderResponse) {
	w.object(func() {
		w.optionalKV("leader", m.Leader)
		w.int("revision", m.Revision)
	})
}
