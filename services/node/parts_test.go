package node

import (
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	events "github.com/kvorum/kvorum/libs/core/recent"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// Those who wait are woken when there is more, and when the state was exchanged.
func TestRecentWakes(t *testing.T) {
	r := newRecent(10, 0)
	poll := events.NewPoll(&kvpb.FeedRequest{After: &kvpb.Position{Revision: 11}, WaitMillis: 1})
	for name, change := range map[string]func(){
		"added": func() { r.add(nil, 12, 4) },
		"reset": func() { r.reset(13, 4) },
	} {
		_, _, changed := r.look(poll, false)
		change()
		select {
		case <-changed:
		default:
			t.Errorf("%s: those who wait were not woken", name)
		}
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

// A torture run found an answer of revision 1 from a node that had lost its disk
// and knew no leader yet: a serializable read of nothing.
func TestAnswersReads(t *testing.T) {
	following, leading, alone := replica.Role{Leader: 2}, replica.Role{Leader: 1, Leading: true}, replica.Role{}
	for _, c := range []struct {
		role             replica.Role
		replaced, behind bool
		want             bool
	}{
		{following, false, false, true},
		{following, false, true, false},
		{leading, false, true, true},
		{alone, false, true, true},
		{alone, true, true, false},
		{following, true, false, false},
	} {
		if got := answersReads(c.role, c.replaced, c.behind); got != c.want {
			t.Errorf("%+v, replaced %v, behind %v: %v", c.role, c.replaced, c.behind, got)
		}
	}
}
