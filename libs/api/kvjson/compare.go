package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

// comparisons are the values of a compare's op; the first is what no op means.
var comparisons = [...]string{
	kvpb.Compare_EQUAL:     "=",
	kvpb.Compare_GREATER:   ">",
	kvpb.Compare_LESS:      "<",
	kvpb.Compare_NOT_EQUAL: "!=",
}

func (r *reader) compare(m *kvpb.Compare) {
	var keys span
	var lock []byte
	hasKeys, hasLock, targets := false, false, 0
	r.object(func(name string) bool {
		switch name {
		case "op":
			m.Result = kvpb.Compare_Result(r.oneOf(comparisons[:]))
			return true
		case "lock", "lock_base64":
			lock, hasLock = r.bytes(name), true
			return true
		}
		if keys.field(r, name) {
			hasKeys = true
			return true
		}
		targets++
		switch name {
		case "fence":
			m.Target, m.Number = kvpb.Compare_LOCK, r.int64()
		case "create_revision":
			m.Target, m.Number = kvpb.Compare_CREATE, r.int64()
		case "mod_revision":
			m.Target, m.Number = kvpb.Compare_MOD, r.int64()
		case "version":
			m.Target, m.Number = kvpb.Compare_VERSION, r.int64()
		case "lease":
			m.Target, m.Number = kvpb.Compare_LEASE, r.leaseID()
		case "value", "value_base64":
			m.Target, m.Value = kvpb.Compare_VALUE, r.bytes(name)
		default:
			return false
		}
		return true
	})
	switch {
	case hasLock || m.Target == kvpb.Compare_LOCK:
		if !hasLock || m.Target != kvpb.Compare_LOCK || hasKeys || targets != 1 {
			r.fail("want lock and fence together, and nothing else but op")
		}
		m.Key = lock
		return
	case targets != 1:
		r.fail("want a key and exactly one of create_revision, mod_revision, version, value and lease, or a lock and its fence")
	}
	m.Key, m.RangeEnd = keys.keys(r)
}

func (w *writer) compare(m *kvpb.Compare) {
	w.object(func() {
		switch {
		case m.Target != kvpb.Compare_LOCK:
			w.span(m.Key, m.RangeEnd)
		case len(m.RangeEnd) > 0:
			w.fail("a lock is no range")
		default:
			w.bytes("lock", m.Key)
		}
		if m.Result != kvpb.Compare_EQUAL {
			w.oneOf("op", comparisons[:], int(m.Result))
		}
		switch m.Target {
		case kvpb.Compare_CREATE:
			w.int("create_revision", m.Number)
		case kvpb.Compare_MOD:
			w.int("mod_revision", m.Number)
		case kvpb.Compare_VERSION:
			w.int("version", m.Number)
		case kvpb.Compare_LEASE:
			w.leaseID("lease", m.Number)
		case kvpb.Compare_VALUE:
			w.bytes("value", m.Value)
		case kvpb.Compare_LOCK:
			w.int("fence", m.Number)
		default:
			w.fail("unknown compare target %d", m.Target)
		}
	})
}

// oneOf reads a string that is one of names, as its index.
func (r *reader) oneOf(names []string) int {
	s := r.string()
	for i, name := range names {
		if name == s && s != "" {
			return i
		}
	}
	r.fail("want one of %q", names)
	return 0
}

func (w *writer) oneOf(name string, names []string, i int) {
	if i < 0 || i >= len(names) {
		w.fail("%s: unknown value %d", name, i)
		return
	}
	w.string(name, names[i])
}
