package fanout_test

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// watcher is the reference of a client that follows the position rules in the
// package's documentation, and nothing else.
type watcher struct {
	name    string
	tokens  string
	key     bool         // a key, else a prefix
	keys    fanout.Range // the same as a range
	since   int          // index of its prefix in Kv-Since; of a key: the last
	at      api.Position // L
	pending []place      // collected of one revision, not yet delivered
	// delivered is what the caller got: one element for each delivery.
	delivered [][]place

	joined   bool
	epoch    api.Epoch // newest seen
	sequence uint64    // of the last progress or answer
	asking   bool
	ask      int // number of the outstanding ask
}

// place is an event as the checks compare it.
type place struct {
	pos    api.Position
	key    string
	value  string
	delete bool
}

func newWatcher(tokens string, key bool) *watcher {
	w := &watcher{name: "prefix " + tokens, tokens: tokens, key: key}
	if key {
		k, err := subject.Decode(tokens)
		if err != nil {
			panic(err)
		}
		w.name, w.keys = "key "+tokens, fanout.Range{Key: k}
		return w
	}
	start, end, err := subject.DecodePrefix(tokens)
	if err != nil {
		panic(err)
	}
	w.keys = fanout.Range{Key: start, End: end}
	if tokens != "" {
		w.since = strings.Count(tokens, ".") + 1
	}
	return w
}

// subscribed tells what the watcher receives.
func (w *watcher) subscribed(name string) bool {
	if name == api.SubjectProgress {
		return true
	}
	if tokens, ok := strings.CutPrefix(name, api.SubjectWatch); ok {
		if w.key {
			return tokens == w.tokens
		}
		return w.tokens == "" || strings.HasPrefix(tokens, w.tokens+".")
	}
	switch {
	case w.key:
		return name == api.SubjectTailKey+w.tokens
	case w.tokens == "":
		return name == api.SubjectTailRoot
	}
	return name == api.SubjectTailUnder+w.tokens
}

// answer is what kv.history tells.
type answer struct {
	ask      int
	epoch    api.Epoch
	sequence uint64
	page     fanout.Page
}

// receive takes a message or an answer and reports whether to ask history.
func (w *watcher) receive(m any) bool {
	if a, ok := m.(answer); ok {
		return w.answered(a)
	}
	msg := m.(fanout.Message)
	head := func(name string) string { return strings.Join(msg.Header[name], "") }
	epoch := must(api.ParseEpoch(head(api.HeaderEpoch)))
	newer := epoch.Compare(w.epoch) > 0
	if newer {
		w.epoch, w.joined = epoch, false
	}
	if msg.Subject == api.SubjectProgress {
		through := must(api.ParsePosition(head(api.HeaderThrough)))
		n := must(strconv.ParseUint(head(api.HeaderSequence), 10, 64))
		return w.progress(epoch, n, through)
	}
	if !strings.HasPrefix(msg.Subject, api.SubjectWatch) {
		return newer || must(api.ParsePosition(head(api.HeaderThrough))).After(w.at)
	}
	return w.event(msg, head) || newer
}

func (w *watcher) event(msg fanout.Message, head func(string) string) (ask bool) {
	p := api.Position{
		Revision: must(strconv.ParseInt(head(api.HeaderRevision), 10, 64)),
		Sub:      must(strconv.ParseInt(head(api.HeaderSub), 10, 64)),
	}
	list := strings.Fields(head(api.HeaderSince))
	text := list[len(list)-1]
	if !w.key {
		text = list[w.since]
	}
	text, more := strings.CutSuffix(text, "+")
	if !p.After(w.at) {
		return false
	}
	if must(api.ParsePosition(text)).After(w.at) {
		return true
	}
	tokens := strings.TrimPrefix(msg.Subject, api.SubjectWatch)
	var key []byte
	if strings.HasSuffix(tokens, subject.Below) {
		key = must(subject.UnescapeHeader(head(api.HeaderKey)))
	} else {
		key = must(subject.Decode(tokens))
	}
	w.collect(place{p, string(key), string(msg.Body), head(api.HeaderEvent) == api.EventDelete})
	if !more {
		w.deliver()
	}
	return false
}

func (w *watcher) collect(e place) {
	if len(w.pending) > 0 && w.pending[0].pos.Revision != e.pos.Revision {
		w.deliver()
	}
	w.pending = append(w.pending, e)
	w.at = e.pos
}

func (w *watcher) deliver() {
	w.delivered = append(w.delivered, slices.Clone(w.pending))
	w.pending = w.pending[:0]
}

// reach moves L forward to where everything is known.
func (w *watcher) reach(through api.Position) {
	if through.After(w.at) {
		w.at = through
	}
	if len(w.pending) > 0 && !api.End(w.pending[0].pos.Revision).After(w.at) {
		w.deliver()
	}
}

func (w *watcher) progress(epoch api.Epoch, n uint64, through api.Position) (ask bool) {
	if epoch.Compare(w.epoch) < 0 || w.asking {
		return false
	}
	if !w.joined || n != w.sequence+1 {
		w.joined = false
		return true
	}
	w.sequence = n
	w.reach(through)
	return false
}

func (w *watcher) answered(a answer) (ask bool) {
	if !w.asking || a.ask != w.ask {
		return false
	}
	w.asking = false
	for _, e := range a.page.Events {
		if p := eventPlace(e); p.pos.After(w.at) {
			w.collect(p)
		}
	}
	w.reach(a.page.Through)
	if a.page.More || a.epoch.Compare(w.epoch) < 0 {
		return true
	}
	w.joined, w.epoch, w.sequence = true, a.epoch, a.sequence
	return false
}

func eventPlace(e *kvpb.Event) place {
	return place{
		pos:    api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub},
		key:    string(e.Kv.Key),
		value:  string(e.Kv.Value),
		delete: e.Type == kvpb.Event_DELETE,
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
