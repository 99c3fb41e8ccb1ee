// Package bus is the port between the core and the network that connects the
// nodes of one cluster. membus is its in-memory implementation with seeded
// faults, libs/natsbus the real one; package bustest is the suite that both
// pass.
//
// The network is lossy, as Raft allows: a message may be lost, delayed,
// repeated or overtaken. It is never altered, and it never arrives at a node of
// another cluster or at another node than it was meant for.
package bus

import "go.etcd.io/raft/v3/raftpb"

// Transport sends messages to the other nodes.
type Transport interface {
	// Send gives msgs to the network. All of them go to the node `to`, as one
	// batch where the size allows it. It never blocks: past a bound the
	// messages are dropped and false is returned, so that Raft can be told
	// that the peer is unreachable. The messages are not changed afterwards
	// by the caller nor kept by the transport after it has encoded them.
	Send(to uint64, msgs []*raftpb.Message) bool
}

// Handler takes what comes from the network. Its methods are called by the
// transport's goroutines, those of one peer in the order of arrival, and return
// at once.
type Handler interface {
	// Receive takes a batch of messages from a peer. The callee owns them.
	Receive(from uint64, msgs []*raftpb.Message)
	// PeerLost tells that a peer's connection closed and that nothing answers
	// for it any more: a hint that it died, which may be wrong.
	PeerLost(id uint64)
}
