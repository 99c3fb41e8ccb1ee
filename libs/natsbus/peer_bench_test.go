package natsbus

import (
	"context"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// echo sends each message back, or tells that it came.
type echo struct {
	bus  *PeerBus
	came chan struct{}
}

func (e *echo) Receive(from uint64, msgs []*raftpb.Message) {
	if e.came != nil {
		e.came <- struct{}{}
		return
	}
	e.bus.Send(from, msgs)
}

func (e *echo) PeerLost(uint64) {}

// BenchmarkRoundTrip sends a message of 300 bytes to another node and back.
func BenchmarkRoundTrip(b *testing.B) {
	peers := map[uint64]Peer{}
	for i, address := range freeAddresses(b, 2) {
		peers[uint64(i)+1] = Peer{Name: []string{"a", "b"}[i], Address: address}
	}
	handlers := map[uint64]*echo{1: {came: make(chan struct{}, 1)}, 2: {}}
	buses := map[uint64]*PeerBus{}
	for id, p := range peers {
		bus, err := StartPeer(context.Background(), PeerConfig{
			NodeID: id, ClusterID: 1, Name: p.Name, Listen: p.Address, Peers: peers, Secret: "s",
		}, handlers[id])
		if err != nil {
			b.Fatal(err)
		}
		defer bus.Close()
		buses[id] = bus
	}
	handlers[2].bus = buses[2]
	if !eventually(func() bool { return buses[1].Reachable(2) && buses[2].Reachable(1) }) {
		b.Fatal("not connected")
	}
	msgs := []*raftpb.Message{{Entries: []*raftpb.Entry{{Data: make([]byte, 300)}}}}
	for b.Loop() {
		buses[1].Send(2, msgs)
		<-handlers[1].came
	}
}
