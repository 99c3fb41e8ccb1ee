package client

import (
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// KeyValue is one key as of one revision.
type KeyValue struct {
	Key            string
	Value          []byte
	CreateRevision int64         // of the put that created it
	ModRevision    int64         // of its last put
	Version        int64         // puts since its creation, 1 on creation
	Lease          int64         // 0: none
	TTL            time.Duration // its own time to live, 0 for none
}

// Proto is kv as a message.
func (kv KeyValue) Proto() *kvpb.KeyValue {
	return &kvpb.KeyValue{
		Key: []byte(kv.Key), Value: kv.Value, CreateRevision: kv.CreateRevision,
		ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease, TtlMillis: kv.TTL.Milliseconds(),
	}
}

func keyValueOf(kv *kvpb.KeyValue) KeyValue {
	return KeyValue{
		Key: string(kv.GetKey()), Value: kv.GetValue(), CreateRevision: kv.GetCreateRevision(),
		ModRevision: kv.GetModRevision(), Version: kv.GetVersion(), Lease: kv.GetLease(),
		TTL: millis(kv.GetTtlMillis()),
	}
}

func keyValuesOf(kvs []*kvpb.KeyValue) []KeyValue {
	list := make([]KeyValue, len(kvs))
	for i, kv := range kvs {
		list[i] = keyValueOf(kv)
	}
	return list
}

// optional is nil where there is no kv.
func optional(kv *kvpb.KeyValue) *KeyValue {
	if kv == nil {
		return nil
	}
	k := keyValueOf(kv)
	return &k
}

// Event is one committed change of one key.
type Event struct {
	// Delete tells a delete from a put. A delete's KV has the key and, as its
	// ModRevision, the revision that deleted it.
	Delete bool
	// Expired tells a delete because a lease or a time to live ran out.
	Expired bool
	KV      KeyValue
	// Prev is the state before, where it was asked for and is not compacted.
	Prev *KeyValue
	// Position is the event's place in the history of the store.
	Position api.Position
}

// Created tells a put that made the key.
func (e Event) Created() bool { return !e.Delete && e.KV.CreateRevision == e.KV.ModRevision }

// Proto is e as a message.
func (e Event) Proto() *kvpb.Event {
	m := &kvpb.Event{Kv: e.KV.Proto(), Sub: e.Position.Sub, Expired: e.Expired}
	if e.Delete {
		m.Type = kvpb.Event_DELETE
	}
	if e.Prev != nil {
		m.PrevKv = e.Prev.Proto()
	}
	return m
}

func eventOf(e *kvpb.Event) Event {
	return Event{
		Delete:   e.GetType() == kvpb.Event_DELETE,
		Expired:  e.GetExpired(),
		KV:       keyValueOf(e.GetKv()),
		Prev:     optional(e.GetPrevKv()),
		Position: api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()},
	}
}
