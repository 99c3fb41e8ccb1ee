package natsbus

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/svc"
)

// patience is how long a test waits for what must happen. Nothing is asserted
// about how long it took.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	os.Exit(m.Run())
}

// eventually reports whether cond comes to hold.
func eventually(cond func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}

func mustEventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !eventually(cond) {
		stacks := make([]byte, 1<<16)
		t.Fatalf("waited in vain: %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// freeAddresses are loopback addresses that nothing listens on.
func freeAddresses(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := svc.ListenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// logBuffer keeps a log for a test to look at.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// sink is a bus.Handler that keeps what it gets.
type sink struct {
	mu      sync.Mutex
	indexes map[uint64][]uint64
	lost    []uint64
}

func (s *sink) Receive(from uint64, msgs []*raftpb.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexes == nil {
		s.indexes = map[uint64][]uint64{}
	}
	for _, m := range msgs {
		s.indexes[from] = append(s.indexes[from], m.GetIndex())
	}
}

func (s *sink) PeerLost(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, id)
}

func (s *sink) count(from uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.indexes[from])
}

func (s *sink) lostPeers() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]uint64(nil), s.lost...)
}

func raftMessage(index uint64) *raftpb.Message { return &raftpb.Message{Index: &index} }

// peerConfigs are those of a cluster of n nodes on loopback, by id from 1.
func peerConfigs(t *testing.T, cluster uint64, n int) map[uint64]PeerConfig {
	peers := map[uint64]Peer{}
	for i, address := range freeAddresses(t, n) {
		peers[uint64(i)+1] = Peer{Name: fmt.Sprintf("c%d-node-%d", cluster, i+1), Address: address}
	}
	configs := map[uint64]PeerConfig{}
	for id, p := range peers {
		configs[id] = PeerConfig{
			NodeID: id, ClusterID: cluster, Name: p.Name, Listen: p.Address, Peers: peers, Secret: "swordfish",
		}
	}
	return configs
}

func startPeer(t *testing.T, cfg PeerConfig, h *sink) *PeerBus {
	t.Helper()
	b, err := StartPeer(context.Background(), cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// startPeers starts a cluster and waits until all reach each other.
func startPeers(t *testing.T, n int) (map[uint64]*PeerBus, map[uint64]*sink) {
	t.Helper()
	buses, sinks := map[uint64]*PeerBus{}, map[uint64]*sink{}
	for id, cfg := range peerConfigs(t, 7, n) {
		sinks[id] = &sink{}
		buses[id] = startPeer(t, cfg, sinks[id])
	}
	mustConnect(t, buses)
	return buses, sinks
}

func mustConnect(t *testing.T, buses map[uint64]*PeerBus) {
	t.Helper()
	for id, b := range buses {
		for other := range buses {
			mustEventually(t, fmt.Sprintf("%d reaches %d", id, other), func() bool {
				return id == other || b.Reachable(other)
			})
		}
	}
}
