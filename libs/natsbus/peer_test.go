package natsbus

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/core/bus"
	"github.com/kvorum/kvorum/libs/core/bus/bustest"
	"github.com/nats-io/nats.go"
	"go.etcd.io/raft/v3/raftpb"
)

// network lets the conformance suite run on real servers.
type network map[bustest.NodeKey]*PeerBus

func (n network) Transport(k bustest.NodeKey) bus.Transport { return n[k] }
func (n network) Close(k bustest.NodeKey)                   { n[k].Close() }
func (n network) Wait(cond func() bool) bool                { return eventually(cond) }

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, nodes map[bustest.NodeKey]bus.Handler) bustest.Network {
		configs := map[uint64]map[uint64]PeerConfig{}
		n := network{}
		for k, h := range nodes {
			if configs[k.Cluster] == nil {
				configs[k.Cluster] = peerConfigs(t, k.Cluster, 3)
			}
			b, err := StartPeer(context.Background(), configs[k.Cluster][k.ID], h)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			n[k] = b
		}
		for k, b := range n {
			for other := range n {
				mustEventually(t, "the nodes of a cluster reach each other", func() bool {
					return k == other || k.Cluster != other.Cluster || b.Reachable(other.ID)
				})
			}
		}
		return n
	})
}

func TestKilledProcessIsLostOthersAreNot(t *testing.T) {
	configs := peerConfigs(t, 7, 3)
	sinks := map[uint64]*sink{1: {}, 2: {}}
	one, two := startPeer(t, configs[1], sinks[1]), startPeer(t, configs[2], sinks[2])
	child := startChild(t, configs[3])
	for _, b := range []*PeerBus{one, two} {
		mustEventually(t, "all reach each other", func() bool {
			return b.Reachable(3) && b.Reachable(3-b.cfg.NodeID)
		})
	}
	if lost := append(sinks[1].lostPeers(), sinks[2].lostPeers()...); len(lost) > 0 {
		t.Fatalf("lost %v while all lived", lost)
	}
	killed := time.Now()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for id, s := range sinks {
		mustEventually(t, fmt.Sprintf("%d is told", id), func() bool { return slices.Contains(s.lostPeers(), 3) })
		t.Logf("node %d was told after %v", id, time.Since(killed))
	}
	mustEventually(t, "the dead node is not reachable", func() bool { return !one.Reachable(3) && !two.Reachable(3) })
	_ = child.Wait()
	startChild(t, configs[3])
	mustEventually(t, "the restarted node is reachable", func() bool { return one.Reachable(3) && two.Reachable(3) })
	for id, s := range sinks {
		if lost := s.lostPeers(); len(lost) != 1 {
			t.Errorf("node %d was told of %v, want node 3 once", id, lost)
		}
	}
}

// A connection that closes while its process lives is not a lost peer: the
// others are still there.
func TestOneCutRouteIsNoLoss(t *testing.T) {
	configs := peerConfigs(t, 7, 2)
	var proxies []*proxy
	buses, sinks := map[uint64]*PeerBus{}, map[uint64]*sink{1: {}, 2: {}}
	var log logBuffer
	for id, cfg := range configs {
		p := startProxy(t, configs[3-id].Listen)
		proxies = append(proxies, p)
		cfg.Peers = map[uint64]Peer{3 - id: {Name: configs[3-id].Name, Address: p.address}}
		cfg.Logger = log.logger()
		buses[id] = startPeer(t, cfg, sinks[id])
	}
	mustConnect(t, buses)
	cut := 0
	for _, p := range proxies {
		cut += p.cut(accountRaft)
	}
	if cut == 0 {
		t.Fatal("no connection of the Raft account was cut")
	}
	mustEventually(t, "the close is noticed", func() bool { return log.contains(routeClosedText) })
	mustEventually(t, "messages arrive again", func() bool {
		buses[1].Send(2, []*raftpb.Message{raftMessage(1)})
		return sinks[2].count(1) > 0
	})
	if lost := append(sinks[1].lostPeers(), sinks[2].lostPeers()...); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
}

func TestWrongSecretIsRefused(t *testing.T) {
	configs := peerConfigs(t, 7, 2)
	var log logBuffer
	good, bad := configs[1], configs[2]
	good.Logger = log.logger()
	bad.Secret = "guess"
	one, two := startPeer(t, good, &sink{}), startPeer(t, bad, &sink{})
	mustEventually(t, "the refusal is logged", func() bool { return log.contains("authentication error") })
	if one.Reachable(2) || two.Reachable(1) || one.server.srv.NumRemotes() != 0 {
		t.Error("a node with another secret is connected")
	}
	if _, err := StartPeer(context.Background(), PeerConfig{NodeID: 1, Listen: "127.0.0.1:0"}, &sink{}); err == nil {
		t.Error("started without a secret")
	}
}

func TestClientsCannotReachThePeerBus(t *testing.T) {
	buses, _ := startPeers(t, 1)
	url := "nats://" + buses[1].server.srv.Addr().String()
	for name, opts := range map[string][]nats.Option{
		"nobody":         nil,
		"user":           {nats.UserInfo(accountRaft, "")},
		"right password": {nats.UserInfo(accountRaft, buses[1].server.password)},
	} {
		if nc, err := nats.Connect(url, opts...); err == nil {
			nc.Close()
			t.Errorf("%s: connected by TCP", name)
		}
	}
}

func TestForeignFramesAreDropped(t *testing.T) {
	buses, sinks := startPeers(t, 2)
	right := address{cluster: 7, sender: 1, target: 2}
	frame := func(a address) []byte {
		f, err := appendMessage(openFrame(nil), raftMessage(66))
		if err != nil {
			t.Fatal(err)
		}
		sealFrame(f, a)
		return f
	}
	damaged := frame(right)
	damaged[len(damaged)-1]++
	bad := [][]byte{
		frame(address{8, 1, 2}), frame(address{7, 3, 2}), frame(address{7, 1, 1}), damaged, frame(right)[:20], nil,
	}
	for i, f := range append(bad, frame(right)) {
		if err := buses[1].raft.Publish(subjectFrame+"2", f); err != nil {
			t.Fatal(i, err)
		}
	}
	mustEventually(t, "the good frame after the bad ones", func() bool { return sinks[2].count(1) > 0 })
	if got := buses[2].Dropped(); got != uint64(len(bad)) || sinks[2].count(1) != 1 {
		t.Errorf("dropped %d of %d, delivered %d", got, len(bad), sinks[2].count(1))
	}
}

// Raft and snapshots have each a route connection of their own to each peer.
func TestAccountsArePinned(t *testing.T) {
	buses, _ := startPeers(t, 3)
	pinned := func() map[string]uint64 {
		got := map[string]uint64{}
		routes, err := buses[1].server.srv.Routez(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes.Routes {
			if r.Account != "" {
				got[r.RemoteName+" "+r.Account] = r.Rid
			}
		}
		return got
	}
	mustEventually(t, "two accounts for each of two peers", func() bool { return len(pinned()) == 4 })
	rids := map[uint64]bool{}
	for _, rid := range pinned() {
		rids[rid] = true
	}
	if len(rids) != 4 {
		t.Errorf("connections are shared: %v", pinned())
	}
}

func TestForward(t *testing.T) {
	buses, _ := startPeers(t, 2)
	buses[2].HandleForward(func(m *nats.Msg) {
		answer := nats.NewMsg("")
		answer.Header.Set("Kv-Revision", "5")
		answer.Data = []byte(m.Subject + " " + m.Header.Get("Kv-Lease") + " " + string(m.Data))
		_ = m.RespondMsg(answer)
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := buses[1].Forward(ctx, 2, "kv.put.db.primary", nats.Header{"Kv-Lease": {"7"}}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != "kv.put.db.primary 7 x" || m.Header.Get("Kv-Revision") != "5" {
		t.Errorf("answer %q %v", m.Data, m.Header)
	}
	if _, err := buses[1].Forward(ctx, 9, "kv.put.x", nil, nil); err != nats.ErrNoResponders {
		t.Errorf("to nobody: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	configs := peerConfigs(t, 7, 1)
	startPeer(t, configs[1], &sink{})
	_, err := StartPeer(context.Background(), configs[1], &sink{})
	if err == nil || !strings.Contains(err.Error(), configs[1].Listen) {
		t.Errorf("got %v, want an error that names %s", err, configs[1].Listen)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	buses, _ := startPeers(t, 3)
	client, err := StartClient(clientConfig("a", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Service(); err != nil {
		t.Fatal(err)
	}
	for _, b := range buses {
		b.Close()
		b.Close() // again does nothing
		if b.Send(1, nil) || b.Send(2, []*raftpb.Message{raftMessage(1)}) {
			t.Error("a closed bus sends")
		}
	}
	client.Close()
	mustEventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
