package watch_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed"
)

func dial(t testing.TB, n *node) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(n.bus.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// ask sends a request until somebody serves it.
func ask(t testing.TB, nc *nats.Conn, subject, contentType string, body []byte) *nats.Msg {
	t.Helper()
	m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	if contentType != "" {
		m.Header.Set(api.HeaderContentType, contentType)
	}
	return askMsg(t, nc, m)
}

func askMsg(t testing.TB, nc *nats.Conn, m *nats.Msg) *nats.Msg {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		answer, err := nc.RequestMsg(m, time.Second)
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if e := api.ParseError(answer.Header, answer.Data); e != nil && e.Kind == api.KindUnavailable {
			continue
		}
		return answer
	}
	t.Fatalf("nobody serves %s", m.Subject)
	return nil
}

func history(t testing.TB, nc *nats.Conn, subject string, req *kvpb.HistoryRequest) *kvpb.HistoryResponse {
	t.Helper()
	body, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	m := ask(t, nc, subject, api.ContentProtobuf, body)
	if e := api.ParseError(m.Header, m.Data); e != nil {
		t.Fatal(e)
	}
	resp := new(kvpb.HistoryResponse)
	if err := proto.Unmarshal(m.Data, resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

// watcher follows the whole store by the position rules and notes what it is
// given.
type watcher struct {
	t    testing.TB
	nc   *nats.Conn
	live chan *nats.Msg
	at   api.Position
	got  []api.Position
	// epoch of the last live event, and whether one of an earlier epoch came
	// after it.
	epoch api.Epoch
	back  bool
}

func follow(t testing.TB, n *node) *watcher {
	t.Helper()
	w := &watcher{t: t, nc: dial(t, n), live: make(chan *nats.Msg, 1<<17)}
	if _, err := w.nc.ChanSubscribe(api.SubjectWatch+">", w.live); err != nil {
		t.Fatal(err)
	}
	w.join()
	return w
}

func (w *watcher) take(p api.Position) {
	if p.After(w.at) {
		w.got = append(w.got, p)
		w.at = p
	}
}

func (w *watcher) join() {
	for {
		resp := history(w.t, w.nc, api.SubjectHistory, &kvpb.HistoryRequest{Since: feed.Wire(w.at)})
		for _, e := range resp.Events {
			w.take(position(e))
		}
		if p := feed.Position(resp.Through); p.After(w.at) {
			w.at = p
		}
		if !resp.More {
			return
		}
	}
}

// next takes one live event.
func (w *watcher) next() {
	w.t.Helper()
	select {
	case m := <-w.live:
		w.event(m)
	case <-time.After(patience):
		w.t.Fatalf("no event after %v", w.at)
	}
}

func (w *watcher) event(m *nats.Msg) {
	w.t.Helper()
	epoch, err := api.ParseEpoch(m.Header.Get(api.HeaderEpoch))
	if err != nil {
		w.t.Fatal(err)
	}
	if epoch.Compare(w.epoch) < 0 {
		w.back = true
	} else {
		w.epoch = epoch
	}
	revision, err1 := strconv.ParseInt(m.Header.Get(api.HeaderRevision), 10, 64)
	sub, err2 := strconv.ParseInt(m.Header.Get(api.HeaderSub), 10, 64)
	root, _, _ := strings.Cut(m.Header.Get(api.HeaderSince), " ")
	since, err3 := api.ParsePosition(strings.TrimSuffix(root, "+"))
	if err := errors.Join(err1, err2, err3); err != nil {
		w.t.Fatal(err)
	}
	p := api.Position{Revision: revision, Sub: sub}
	if p.After(w.at) && since.After(w.at) {
		w.join() // a gap
	}
	w.take(p)
}

// until takes events until it has everything up to a revision.
func (w *watcher) until(revision int64) {
	w.t.Helper()
	for end := time.Now().Add(patience); api.End(revision).After(w.at); {
		select {
		case m := <-w.live:
			w.event(m)
		case <-time.After(300 * time.Millisecond): // as a tail would tell
			w.join()
		}
		if time.Now().After(end) {
			w.t.Fatalf("stuck at %v", w.at)
		}
	}
}

// complete checks that the watcher got each event of the node once, in order.
func (w *watcher) complete(n *node) {
	w.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, e := range n.events {
		if i >= len(w.got) || w.got[i] != position(e) {
			w.t.Fatalf("event %d of %d is %v; got %d, here %v", i, len(n.events), position(e), len(w.got), w.got[min(i, len(w.got)):min(i+3, len(w.got))])
		}
	}
	if len(w.got) > len(n.events) {
		w.t.Fatalf("got %d events of %d", len(w.got), len(n.events))
	}
}
