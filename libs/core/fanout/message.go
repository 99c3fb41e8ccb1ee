package fanout

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
)

// Message is what to publish. Header has the shape of a NATS header. It is
// not changed once it was published.
type Message struct {
	Subject string
	Header  map[string][]string
	Body    []byte
}

// place is where an event is published.
type place struct {
	tokens string
	full   bool // tokens carries the key
}

func placeOf(key []byte) place {
	tokens, full := subject.Event(key)
	return place{tokens, full}
}

func positionOf(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub}
}

// Reached is the position up to which everything is there once e is: the end of
// its revision if it is the last.
func Reached(e *kvpb.Event) api.Position {
	if e.Last {
		return api.End(e.Kv.ModRevision)
	}
	return positionOf(e)
}

func eventBytes(e *kvpb.Event) int {
	return eventOverheadBytes + len(e.Kv.Key) + len(e.Kv.Value)
}

// eventMessage is the message for an event; since is the text of Kv-Since.
func eventMessage(e *kvpb.Event, at place, since string, epoch api.Epoch) Message {
	h := make(map[string][]string, 10)
	h[api.HeaderRevision] = []string{strconv.FormatInt(e.Kv.ModRevision, 10)}
	h[api.HeaderSub] = []string{strconv.FormatInt(e.Sub, 10)}
	h[api.HeaderSince] = []string{since}
	h[api.HeaderEpoch] = []string{epoch.String()}
	if !at.full {
		h[api.HeaderKey] = []string{subject.EscapeHeader(e.Kv.Key)}
	}
	m := Message{Subject: api.SubjectWatch + at.tokens, Header: h}
	if e.Type == kvpb.Event_DELETE {
		h[api.HeaderEvent] = []string{api.EventDelete}
		if e.Expired {
			h[api.HeaderExpired] = []string{"true"}
		}
		return m
	}
	h[api.HeaderEvent] = []string{api.EventPut}
	h[api.HeaderCreateRevision] = []string{strconv.FormatInt(e.Kv.CreateRevision, 10)}
	h[api.HeaderVersion] = []string{strconv.FormatInt(e.Kv.Version, 10)}
	if e.Kv.Lease != 0 {
		h[api.HeaderLease] = []string{fmt.Sprintf("%016x", uint64(e.Kv.Lease))}
	}
	if e.Kv.TtlMillis != 0 {
		h[api.HeaderTTL] = []string{(time.Duration(e.Kv.TtlMillis) * time.Millisecond).String()}
	}
	m.Body = e.Kv.Value
	return m
}

// appendSince adds one position to the text of Kv-Since.
func appendSince(text []byte, p api.Position, more bool) []byte {
	if len(text) > 0 {
		text = append(text, ' ')
	}
	text = append(text, p.String()...)
	if more {
		text = append(text, '+')
	}
	return text
}
