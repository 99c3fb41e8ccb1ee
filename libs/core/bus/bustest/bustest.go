// Package bustest is the conformance suite of bus.Transport and bus.Handler:
// every implementation runs it in its own tests. It checks a network without
// faults; what each implementation does under faults it tests itself.
package bustest

import (
	"slices"
	"sync"
	"testing"

	"github.com/kvorum/kvorum/libs/core/bus"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// NodeKey names a node of a network that several clusters share.
type NodeKey struct{ Cluster, ID uint64 }

// Network is an implementation under test, with its nodes running and each
// able to reach all others of its cluster.
type Network interface {
	// Transport is a node's.
	Transport(NodeKey) bus.Transport
	// Close ends a node.
	Close(NodeKey)
	// Wait lets time pass until cond holds; false means that it gave up.
	Wait(cond func() bool) bool
}

// Start makes a network of nodes and ends it with the test. Nodes of different
// clusters are in each other's reach as far as the implementation allows.
type Start func(t *testing.T, nodes map[NodeKey]bus.Handler) Network

// cluster is the one that the tests use.
const cluster = 7

// Run runs the suite.
func Run(t *testing.T, start Start) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Start)
	}{
		{"right node only", testRightNode},
		{"order", testOrder},
		{"batch", testBatch},
		{"big message", testBig},
		{"bounded queue", testBounded},
		{"lost peer", testLost},
		{"other cluster", testOtherCluster},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start) })
	}
}

// recorder is a handler that keeps what it is given.
type recorder struct {
	mu   sync.Mutex
	msgs map[uint64][]*raftpb.Message
	lost []uint64
}

func (r *recorder) Receive(from uint64, msgs []*raftpb.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.msgs == nil {
		r.msgs = map[uint64][]*raftpb.Message{}
	}
	r.msgs[from] = append(r.msgs[from], msgs...)
}

func (r *recorder) PeerLost(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, id)
}

// from is what came from a node.
func (r *recorder) from(id uint64) []*raftpb.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.msgs[id])
}

// total is the number of all messages.
func (r *recorder) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, msgs := range r.msgs {
		n += len(msgs)
	}
	return n
}

func (r *recorder) lostPeers() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lost)
}

// three starts three nodes of one cluster.
func three(t *testing.T, start Start) (Network, map[uint64]*recorder) {
	recorders := map[uint64]*recorder{}
	nodes := map[NodeKey]bus.Handler{}
	for id := uint64(1); id <= 3; id++ {
		recorders[id] = &recorder{}
		nodes[NodeKey{cluster, id}] = recorders[id]
	}
	return start(t, nodes), recorders
}

func key(id uint64) NodeKey { return NodeKey{cluster, id} }

// message makes a message that tells where it belongs by its fields.
func message(from, to, index uint64, data []byte) *raftpb.Message {
	m := &raftpb.Message{
		Type: raftpb.MessageType_MsgApp.Enum(), From: &from, To: &to, Index: &index,
	}
	if data != nil {
		m.Entries = []*raftpb.Entry{{Term: proto.Uint64(3), Index: &index, Data: data}}
	}
	return m
}

func mustSend(t *testing.T, n Network, from, to uint64, msgs ...*raftpb.Message) {
	t.Helper()
	if !n.Transport(key(from)).Send(to, msgs) {
		t.Fatalf("Send from %d to %d returned false", from, to)
	}
}

func mustWait(t *testing.T, n Network, what string, cond func() bool) {
	t.Helper()
	if !n.Wait(cond) {
		t.Fatalf("waited in vain: %s", what)
	}
}
