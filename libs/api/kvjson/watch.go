package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

func (r *reader) historyRequest(m *kvpb.HistoryRequest) {
	var keys span
	r.object(func(name string) bool {
		switch name {
		case "since":
			m.Since = r.position()
		case "limit":
			m.Limit = r.int64()
		case "prev":
			m.PrevKv = r.bool()
		default:
			return keys.field(r, name)
		}
		return true
	})
	m.Key, m.RangeEnd = keys.keys(r)
}

func (w *writer) historyRequest(m *kvpb.HistoryRequest) {
	w.object(func() {
		w.filled("key", m.Key)
		w.filled("range_end", m.RangeEnd)
		w.position("since", m.Since)
		w.number("limit", m.Limit)
		w.flag("prev", m.PrevKv)
	})
}

func (r *reader) historyResponse(m *kvpb.HistoryResponse) {
	r.object(func(name string) bool {
		switch name {
		case "events":
			r.array(func() {
				e := new(kvpb.Event)
				r.event(e)
				m.Events = append(m.Events, e)
			})
		case "through":
			m.Through = r.position()
		case "more":
			m.More = r.bool()
		case "compacted":
			m.Compacted = r.int64()
		case "epoch":
			m.Epoch = r.epoch()
		default:
			return false
		}
		return true
	})
}

func (w *writer) historyResponse(m *kvpb.HistoryResponse) {
	w.object(func() {
		w.array("events", len(m.Events), func(i int) { w.event(m.Events[i]) })
		w.position("through", m.Through)
		w.flag("more", m.More)
		w.int("compacted", m.Compacted)
		w.epoch("epoch", m.Epoch)
	})
}

func (r *reader) syncRequest(m *kvpb.SyncRequest) {
	var keys span
	r.object(func(name string) bool { return keys.field(r, name) })
	m.Key, m.RangeEnd = keys.keys(r)
}

func (w *writer) syncRequest(m *kvpb.SyncRequest) {
	w.object(func() {
		w.filled("key", m.Key)
		w.filled("range_end", m.RangeEnd)
	})
}

func (r *reader) syncResponse(m *kvpb.SyncResponse) {
	r.object(func(name string) bool {
		switch name {
		case "last":
			m.Last = r.position()
		case "published":
			m.Published = r.position()
		case "compacted":
			m.Compacted = r.int64()
		case "epoch":
			m.Epoch = r.epoch()
		default:
			return false
		}
		return true
	})
}

func (w *writer) syncResponse(m *kvpb.SyncResponse) {
	w.object(func() {
		w.position("last", m.Last)
		w.position("published", m.Published)
		w.int("compacted", m.Compacted)
		w.epoch("epoch", m.Epoch)
	})
}
