package watch_test

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/core/grant"
	"github.com/kvorum/kvorum/libs/feed"
	"github.com/kvorum/kvorum/libs/natsbus"
)

const (
	patience = 30 * time.Second
	secret   = "secret-of-the-tests"
)

// node is a storage node as the fan-out sees it: a history that tests write and
// a leader's grants, on a real client bus.
type node struct {
	t   testing.TB
	bus *natsbus.ClientBus

	mu        sync.Mutex
	events    []*kvpb.Event
	revision  int64
	compacted int64
	changed   chan struct{} // closed and replaced on a commit
	grants    grant.Leader
	asked     map[string]int // requests for the grant of each replica, by name
	polls     int            // of the feed, that wait
}

func startNode(t testing.TB) *node {
	t.Helper()
	bus, err := natsbus.StartClient(natsbus.ClientConfig{Name: "node-1", Listen: "127.0.0.1:0",
		RouteListen: "127.0.0.1:0", ClusterName: "kvorum", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	n := &node{t: t, bus: bus, changed: make(chan struct{}), asked: make(map[string]int)}
	n.lead(1)
	nc, err := bus.Internal()
	if err != nil {
		t.Fatal(err)
	}
	for subject, h := range map[string]nats.MsgHandler{
		feed.SubjectLeader: func(m *nats.Msg) { go n.poll(m) },
		feed.SubjectAny:    func(m *nats.Msg) { go n.poll(m) },
		feed.SubjectGrant:  n.grant,
	} {
		if _, err := nc.Subscribe(subject, h); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n *node) lead(term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.grants.Lead(term, time.Now().UnixNano())
}

// commit adds a revision that puts the keys, and gives its number.
func (n *node) commit(keys ...string) int64 { return n.commitMore(0, keys...) }

// commitMore is commit with so many bytes more in each value.
func (n *node) commitMore(bytes int, keys ...string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision++
	for i, key := range keys {
		n.events = append(n.events, &kvpb.Event{Sub: int64(i), Last: i == len(keys)-1, Kv: &kvpb.KeyValue{
			Key: []byte(key), Value: append(fmt.Appendf(nil, "%s at %d", key, n.revision), make([]byte, bytes)...),
			CreateRevision: n.revision, ModRevision: n.revision, Version: 1}})
	}
	close(n.changed)
	n.changed = make(chan struct{})
	return n.revision
}

func (n *node) compact(revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.compacted = revision
}

func (n *node) page(req *kvpb.FeedRequest) (*kvpb.FeedResponse, <-chan struct{}, *api.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	after := feed.Position(req.After)
	if after.Revision+1 < n.compacted {
		return nil, nil, &api.Error{Kind: api.KindCompacted, Message: "compacted", Compacted: n.compacted}
	}
	resp := &kvpb.FeedResponse{Through: feed.Wire(after), Compacted: n.compacted, Revision: n.revision, Node: "node-1"}
	i := sort.Search(len(n.events), func(i int) bool { return position(n.events[i]).After(after) })
	for _, e := range n.events[i:min(i+1000, len(n.events))] {
		if req.PrevKv {
			e = proto.CloneOf(e)
			e.PrevKv = &kvpb.KeyValue{Key: e.Kv.Key, Value: []byte("before"), Version: 1}
		}
		keys := fanout.Range{Key: req.Key, End: req.RangeEnd}
		if keys.Contains(e.Kv.Key) {
			resp.Events = append(resp.Events, e)
		}
		resp.Through = feed.Wire(fanout.Reached(e))
	}
	return resp, n.changed, nil
}

func (n *node) poll(m *nats.Msg) {
	req := new(kvpb.FeedRequest)
	if err := proto.Unmarshal(m.Data, req); err != nil {
		n.t.Error(err)
	}
	timeout := time.After(time.Duration(req.WaitMillis) * time.Millisecond)
	for {
		resp, next, failed := n.page(req)
		if failed != nil {
			_ = m.RespondMsg(&nats.Msg{Header: failed.Header(), Data: failed.Body()})
			return
		}
		if len(resp.Events) == 0 && timeout != nil {
			n.waits(1)
			select {
			case <-next:
			case <-timeout:
				timeout = nil
			}
			n.waits(-1)
			continue
		}
		body, err := proto.Marshal(resp)
		if err != nil {
			n.t.Error(err)
		}
		_ = m.Respond(body)
		return
	}
}

func (n *node) grant(m *nats.Msg) {
	req := new(kvpb.GrantRequest)
	if err := proto.Unmarshal(m.Data, req); err != nil {
		n.t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name, _, _ := strings.Cut(req.Replica, ".")
	n.asked[name]++
	resp := &kvpb.GrantResponse{ForMillis: grant.Period / 1e6}
	now := time.Now().UnixNano()
	if req.Release {
		n.grants.Release(req.Replica)
	} else {
		held := api.Epoch{Term: req.Held.GetTerm(), N: req.Held.GetN()}
		epoch, ok := n.grants.Ask(req.Replica, held, now)
		resp.Granted, resp.Epoch = ok, &kvpb.Epoch{Term: epoch.Term, N: epoch.N}
		resp.Holder = n.grants.Holder(now)
	}
	body, err := proto.Marshal(resp)
	if err != nil {
		n.t.Error(err)
	}
	_ = m.Respond(body)
}

// holds is the name of the replica that has the grant.
func (n *node) holds() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.grants.Holder(time.Now().UnixNano())
}

func (n *node) waits(more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.polls += more
}

// followed waits until so many replicas wait for the next page of the feed.
func (n *node) followed(replicas int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprint(replicas, " follow"), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.polls == replicas
	})
}

// asks is how often a replica has asked for the grant.
func (n *node) asks(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

func position(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.Kv.ModRevision, Sub: e.Sub}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
