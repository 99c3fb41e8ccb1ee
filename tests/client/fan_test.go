package client

import (
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// fan is a watch fan-out without a store: events are what commit says.
type fan struct {
	b *bus

	mu        sync.Mutex
	epoch     api.Epoch
	sequence  int
	events    []*kvpb.Event
	revision  int64
	compacted int64
	refuse    *api.Error // the answer to the next history requests
	limit     int        // events of a page
	value     []byte     // of every put
}

func newFan(t *testing.T) *fan {
	f := &fan{b: newBus(t), epoch: api.Epoch{Term: 3, N: 1}, revision: 1, limit: 3}
	f.b.serve("kv.history", func(_ int, m *nats.Msg) *nats.Msg { return f.history(reads(t, m, &kvpb.HistoryRequest{})) })
	return f
}

// commit makes a revision that puts keys. Unless it is lost, it is published.
func (f *fan) commit(lost bool, keys ...string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put(lost, keys...)
}

// put is commit for who has the lock.
func (f *fan) put(lost bool, keys ...string) int64 {
	f.revision++
	first := len(f.events)
	for i, k := range keys {
		f.events = append(f.events, &kvpb.Event{
			Kv:  &kvpb.KeyValue{Key: []byte(k), Value: f.value, CreateRevision: f.revision, ModRevision: f.revision, Version: 1},
			Sub: int64(i), Last: i == len(keys)-1,
		})
	}
	for i := first; i < len(f.events) && !lost; i++ {
		f.publish(i)
	}
	return f.revision
}

// expire makes a revision that deletes a key because its time ran out.
func (f *fan) expire(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	f.events = append(f.events, &kvpb.Event{
		Type: kvpb.Event_DELETE, Expired: true, Kv: &kvpb.KeyValue{Key: []byte(key), ModRevision: f.revision}, Last: true})
	f.publish(len(f.events) - 1)
}

func (f *fan) publish(i int) {
	e := f.events[i]
	tokens, full := subject.Event(e.GetKv().GetKey())
	h := headers(api.HeaderEvent, api.EventPut, api.HeaderRevision, e.GetKv().GetModRevision(), api.HeaderSub, e.GetSub(),
		api.HeaderCreateRevision, e.GetKv().GetCreateRevision(), api.HeaderVersion, 1, api.HeaderEpoch, f.epoch, api.HeaderSince, f.since(i, full))
	if e.GetType() == kvpb.Event_DELETE {
		h.Set(api.HeaderEvent, api.EventDelete)
		h.Set(api.HeaderExpired, "true")
	}
	if !full {
		h.Set(api.HeaderKey, subject.EscapeHeader(e.GetKv().GetKey()))
	}
	f.send(api.SubjectWatch+tokens, h, e.GetKv().GetValue())
}

// since is Kv-Since of events[i].
func (f *fan) since(i int, full bool) string {
	scopes := subject.Ancestors(f.events[i].GetKv().GetKey())
	if full {
		scopes = append(scopes, "\x00") // the key itself
	}
	var list []string
	for _, scope := range scopes {
		within := func(e *kvpb.Event) bool {
			if scope == "\x00" {
				return string(e.GetKv().GetKey()) == string(f.events[i].GetKv().GetKey())
			}
			tokens, _ := subject.Event(e.GetKv().GetKey())
			return scope == "" || strings.HasPrefix(tokens, scope+".")
		}
		var last api.Position
		for _, e := range f.events[:i] {
			if within(e) {
				last = api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
			}
		}
		text := last.String()
		for _, e := range f.events[i+1:] {
			if within(e) && e.GetKv().GetModRevision() == f.events[i].GetKv().GetModRevision() {
				text += "+"
				break
			}
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// tail publishes the tail of the whole store under a subject.
func (f *fan) tail(subj string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.send(subj, headers(api.HeaderEpoch, f.epoch, api.HeaderThrough, f.through()), nil)
}

func (f *fan) progress() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sequence++
	f.send(api.SubjectProgress, headers(api.HeaderEpoch, f.epoch, api.HeaderThrough, f.through(), api.HeaderSequence, f.sequence), nil)
}

func (f *fan) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fan) send(subj string, h nats.Header, data []byte) {
	if err := f.b.nc.PublishMsg(&nats.Msg{Subject: subj, Header: h, Data: data}); err != nil {
		f.b.t.Error(err)
	}
}

func (f *fan) through() api.Position {
	if n := len(f.events); n > 0 {
		return api.Position{Revision: f.events[n-1].GetKv().GetModRevision(), Sub: f.events[n-1].GetSub()}
	}
	return api.Position{Revision: f.revision}
}

func (f *fan) history(req *kvpb.HistoryRequest) *nats.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return failsWith(f.refuse)
	}
	since := api.Position{Revision: req.GetSince().GetRevision(), Sub: req.GetSince().GetSub()}
	through := f.through()
	resp := &kvpb.HistoryResponse{Compacted: f.compacted, Epoch: &kvpb.Epoch{Term: f.epoch.Term, N: f.epoch.N}}
	if req.GetSince() != nil {
		if since.Revision+1 < f.compacted {
			return failsWith(&api.Error{Kind: api.KindCompacted, Message: "gone", Compacted: f.compacted})
		}
		for _, e := range f.events {
			p := api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
			k, end := string(e.GetKv().GetKey()), string(req.GetRangeEnd())
			if !p.After(since) || k < string(req.GetKey()) || end == "" && k != string(req.GetKey()) || end != "" && end != "\x00" && k >= end {
				continue
			}
			if len(resp.Events) == f.limit {
				resp.More, through = true, api.Position{Revision: resp.Events[f.limit-1].GetKv().GetModRevision(), Sub: resp.Events[f.limit-1].GetSub()}
				break
			}
			resp.Events = append(resp.Events, e)
		}
	}
	resp.Through = &kvpb.Position{Revision: through.Revision, Sub: through.Sub}
	return answers(resp)
}
