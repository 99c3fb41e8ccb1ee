package node

import (
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

func entries(first, last uint64) (es []*raftpb.Entry) {
	for i := first; i <= last; i++ {
		es = append(es, &raftpb.Entry{Index: &i, Data: []byte("data")})
	}
	return es
}

func appendOf(first, last uint64) appendItem {
	return appendItem{sync: true, task: &replica.AppendTask{Sync: true}, batch: store.Batch{Entries: entries(first, last)}}
}

// What waits for the log is joined to one write, except where that would change
// its meaning.
func TestJoin(t *testing.T) {
	install := appendItem{sync: true, task: &replica.AppendTask{Snapshot: &raftpb.SnapshotMetadata{}}}
	nothing := appendItem{task: &replica.AppendTask{}}
	commit := func(c uint64) appendItem {
		return appendItem{sync: true, task: &replica.AppendTask{}, batch: store.Batch{Hard: &raftpb.HardState{Commit: &c}}}
	}
	for name, c := range map[string]struct {
		items              []appendItem
		n                  int
		first, last, until uint64
	}{
		"consecutive":        {[]appendItem{appendOf(5, 6), nothing, appendOf(7, 9)}, 3, 5, 9, 0},
		"a replacement":      {[]appendItem{appendOf(5, 6), appendOf(6, 7)}, 1, 5, 6, 0},
		"before an install":  {[]appendItem{appendOf(5, 6), install, appendOf(90, 91)}, 1, 5, 6, 0},
		"an install":         {[]appendItem{install, appendOf(90, 91)}, 1, 0, 0, 0},
		"a truncation":       {[]appendItem{{truncate: 3}, appendOf(5, 6)}, 1, 0, 0, 0},
		"the last hard wins": {[]appendItem{commit(4), appendOf(5, 5), commit(5)}, 3, 5, 5, 5},
	} {
		n, b := join(c.items)
		var first, last uint64
		if len(b.Entries) > 0 {
			first, last = b.Entries[0].GetIndex(), b.Entries[len(b.Entries)-1].GetIndex()
		}
		if n != c.n || first != c.first || last != c.last || b.Hard.GetCommit() != c.until {
			t.Errorf("%s: joined %d items to %d..%d with commit %d", name, n, first, last, b.Hard.GetCommit())
		}
	}
}

func event(revision, sub int64) *kvpb.Event {
	return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("k"), ModRevision: revision}, Sub: sub}
}

func TestRecent(t *testing.T) {
	r := newRecent(10, 0)
	_, _, next := r.page(api.End(10), 1<<20)
	r.add([]*kvpb.Event{event(11, 0), event(11, 1), event(12, 0)}, 12, 4)
	select {
	case <-next:
	default:
		t.Error("those who wait were not woken")
	}
	if _, inMemory, _ := r.page(api.End(9), 1<<20); inMemory {
		t.Error("it claims to know what was before it")
	}
	resp, inMemory, _ := r.page(api.End(10), 1<<20)
	if !inMemory || len(resp.Events) != 3 || resp.Through.Revision != 12 || resp.Revision != 12 || resp.Compacted != 4 {
		t.Errorf("from its beginning: %v %v", resp, inMemory)
	}
	resp, _, _ = r.page(api.Position{Revision: 11, Sub: 0}, 1<<20)
	if len(resp.Events) != 2 || resp.Events[0].Sub != 1 {
		t.Errorf("from inside a revision: %v", resp)
	}
	resp, _, _ = r.page(api.End(10), 1)
	if len(resp.Events) != 1 || resp.Through.Revision != 11 || resp.Through.Sub != 0 {
		t.Errorf("a small page: %v", resp)
	}
	big := make([]byte, recentBytesMax/2)
	for rev := int64(13); rev < 17; rev++ {
		e := event(rev, 0)
		e.Kv.Value = big
		r.add([]*kvpb.Event{e}, rev, 4)
	}
	if r.bytes > recentBytesMax {
		t.Errorf("it holds %d bytes", r.bytes)
	}
	if _, inMemory, _ := r.page(api.End(14), 1<<20); inMemory {
		t.Error("it claims to know what it has dropped")
	}
	if resp, inMemory, _ := r.page(api.End(15), 1<<30); !inMemory || len(resp.Events) != 1 {
		t.Errorf("what it kept: %v %v", resp, inMemory)
	}
}

func TestConfig(t *testing.T) {
	peers, err := ParsePeers("node-1=a:1,node-2=b:2, node-3=c:3")
	if err != nil || len(peers) != 3 || peers[2] != (Peer{"node-3", "c:3"}) {
		t.Fatalf("%v %v", peers, err)
	}
	good := Config{Name: "node-1", Peers: peers, DataDir: "d", Secret: "0123456789abcdef", Token: "t"}
	if err := good.check(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	other := good
	other.Peers = []Peer{peers[2], peers[0], peers[1]}
	if good.ClusterID() != other.ClusterID() {
		t.Error("the cluster's id depends on the order of its members")
	}
	other.Token = "u"
	if good.ClusterID() == other.ClusterID() {
		t.Error("the cluster's id does not depend on the token")
	}
	for says, change := range map[string]func(*Config){
		"not among --peers": func(c *Config) { c.Name = "node-9" },
		"1, 3, 5 or 7":      func(c *Config) { c.Peers = peers[:2] },
		"--data-dir":        func(c *Config) { c.DataDir = "" },
		"secret":            func(c *Config) { c.Secret = "short" },
		"repeats":           func(c *Config) { c.Peers = []Peer{peers[0], peers[1], peers[1]} },
		"dots":              func(c *Config) { c.Peers = []Peer{peers[0], peers[1], {"a.b", "c:3"}} },
	} {
		c := good
		change(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	for in, want := range map[string]Retention{"0": {}, "500": {Revisions: 500}, "90m": {Age: 90 * time.Minute}} {
		if got, err := ParseRetention(in); err != nil || got != want {
			t.Errorf("retention %q: %v %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "-1", "1ms", "soon"} {
		if r, err := ParseRetention(bad); err == nil {
			t.Errorf("retention %q: %v", bad, r)
		}
	}
	for _, bad := range []string{"", "node-1", "=a:1", "node-1=a"} {
		if p, err := ParsePeers(bad); err == nil {
			t.Errorf("peers %q: %v", bad, p)
		}
	}
}
