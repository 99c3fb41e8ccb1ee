// Package membus is a network in memory for simulations: nodes join it, and
// what they send each other is delayed, lost, repeated, reordered and cut off
// as its Faults say.
//
// It is deterministic: no goroutine, no lock, no clock. The caller owns the
// time, in nanoseconds since any origin, and hands over what is due with
// Deliver; the same seed and the same calls give the same deliveries. With no
// faults set, the messages from one node to another arrive in order, each once.
//
// A Net and its nodes belong to one goroutine.
package membus

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/kvorum/kvorum/libs/core/bus"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// QueueBytes bounds the encoded messages under way from one node to another:
// past it Send returns false.
const QueueBytes = 32 << 20

// Faults say how bad the network is. They apply to what is sent afterwards.
// The probabilities are from 0 to 1, for each batch.
type Faults struct {
	DelayMin, DelayMax int64   // nanoseconds a batch is under way, chosen evenly
	Loss               float64 // it never arrives
	Duplicate          float64 // it arrives twice, each with a delay of its own
	Reorder            float64 // it may overtake what was sent before it
}

// NodeKey names a node: ids are unique in a cluster only.
type NodeKey struct{ Cluster, ID uint64 }

// Net is a network.
type Net struct {
	faults Faults
	rand   *rand.Rand
	now    int64
	seq    uint64
	events events
	nodes  map[NodeKey]*Node
	links  map[link]*linkState
	cut    map[link]bool
	trace  uint64
	count  int
}

// link is one direction between two nodes of a cluster.
type link struct{ cluster, from, to uint64 }

type linkState struct {
	bytes  int   // under way
	lastAt int64 // when the last batch that may not be overtaken arrives
}

// New makes a network without nodes and faults.
func New(seed uint64) *Net {
	return &Net{
		rand:  rand.New(rand.NewPCG(seed, seed)),
		nodes: map[NodeKey]*Node{}, links: map[link]*linkState{}, cut: map[link]bool{},
	}
}

// SetFaults replaces the faults.
func (n *Net) SetFaults(f Faults) { n.faults = f }

// Cut stops everything from one node to another, what is under way included.
func (n *Net) Cut(cluster, from, to uint64) { n.cut[link{cluster, from, to}] = true }

// Heal undoes Cut.
func (n *Net) Heal(cluster, from, to uint64) { delete(n.cut, link{cluster, from, to}) }

// IsCut reports whether Cut holds from one node to another.
func (n *Net) IsCut(cluster, from, to uint64) bool { return n.cut[link{cluster, from, to}] }

// HealAll undoes every Cut.
func (n *Net) HealAll() { clear(n.cut) }

// Join adds a node, or a restarted one: nothing sent to the old one arrives.
func (n *Net) Join(cluster, id uint64, h bus.Handler) *Node {
	node := &Node{net: n, key: NodeKey{cluster, id}, handler: h}
	n.nodes[node.key] = node
	return node
}

// Next is the time of the next delivery; ok is false where nothing is under way.
func (n *Net) Next() (at int64, ok bool) {
	if len(n.events) == 0 {
		return 0, false
	}
	return n.events[0].at, true
}

// Deliver sets the time and hands everything that is due to the handlers, in
// the order of arrival. What they send meanwhile is delivered as well if it is
// due. It returns the number of deliveries. Time never goes back.
func (n *Net) Deliver(now int64) int {
	n.now = max(n.now, now)
	delivered := 0
	for len(n.events) > 0 && n.events[0].at <= n.now {
		e := heap.Pop(&n.events).(event)
		l := link{e.to.key.Cluster, e.from, e.to.key.ID}
		n.link(l).bytes -= len(e.data)
		if n.nodes[e.to.key] != e.to || n.cut[l] {
			continue
		}
		delivered++
		n.fold(e)
		if e.data == nil {
			e.to.handler.PeerLost(e.from)
			continue
		}
		e.to.handler.Receive(e.from, decode(e.data))
	}
	return delivered
}

// Trace is a digest of all deliveries so far, and their number: the same for
// the same seed and the same calls.
func (n *Net) Trace() (digest uint64, deliveries int) { return n.trace, n.count }

func (n *Net) fold(e event) {
	n.count++
	for _, v := range []uint64{uint64(n.now), e.from, e.to.key.ID, xxhash.Sum64(e.data)} {
		n.trace = (n.trace ^ v) * 0x9e3779b97f4a7c15
		n.trace ^= n.trace >> 32
	}
}

// Node is a node's connection to the network. It implements bus.Transport.
type Node struct {
	net     *Net
	key     NodeKey
	handler bus.Handler
}

var _ bus.Transport = (*Node)(nil)

// Send implements bus.Transport. The messages are sent at the time of the last
// Deliver.
func (nd *Node) Send(to uint64, msgs []*raftpb.Message) bool {
	n, l := nd.net, link{nd.key.Cluster, nd.key.ID, to}
	target := n.nodes[NodeKey{l.cluster, to}]
	data, ok := encode(msgs, QueueBytes-n.link(l).bytes)
	if n.nodes[nd.key] != nd || !ok {
		return false
	}
	if len(msgs) == 0 {
		return true
	}
	copies := 1
	if n.hit(n.faults.Duplicate) {
		copies = 2
	}
	for range copies {
		lost := n.hit(n.faults.Loss)
		if at := n.arrival(l); target != nil && !lost && !n.cut[l] {
			n.link(l).bytes += len(data)
			n.push(event{at: at, from: l.from, to: target, data: data})
		}
	}
	return true
}

// Close ends the node, as kill -9 does: what was sent to it never arrives, and
// the other nodes are told that it is lost.
func (nd *Node) Close() {
	n := nd.net
	if n.nodes[nd.key] != nd {
		return
	}
	delete(n.nodes, nd.key)
	var others []*Node
	for _, other := range n.nodes {
		if other.key.Cluster == nd.key.Cluster {
			others = append(others, other)
		}
	}
	slices.SortFunc(others, func(a, b *Node) int { return cmp.Compare(a.key.ID, b.key.ID) })
	for _, other := range others {
		l := link{nd.key.Cluster, nd.key.ID, other.key.ID}
		n.push(event{at: n.arrival(l), from: nd.key.ID, to: other})
	}
}

// hit draws whether something of that probability happens.
func (n *Net) hit(probability float64) bool { return n.rand.Float64() < probability }

// arrival draws when a batch sent now arrives.
func (n *Net) arrival(l link) int64 {
	at := n.now + n.faults.DelayMin
	if spread := n.faults.DelayMax - n.faults.DelayMin; spread > 0 {
		at += n.rand.Int64N(spread + 1)
	}
	if n.hit(n.faults.Reorder) {
		return at
	}
	state := n.link(l)
	state.lastAt = max(state.lastAt, at)
	return state.lastAt
}

func (n *Net) link(l link) *linkState {
	state, ok := n.links[l]
	if !ok {
		state = &linkState{}
		n.links[l] = state
	}
	return state
}

func (n *Net) push(e event) {
	n.seq++
	e.seq = n.seq
	heap.Push(&n.events, e)
}

// encode makes the bytes of a batch, so that the receiver shares no memory with
// the sender; ok is false where they are more than bytesMax.
func encode(msgs []*raftpb.Message, bytesMax int) (data []byte, ok bool) {
	batch := &raftpb.Message{Responses: msgs}
	if proto.Size(batch) > bytesMax {
		return nil, false
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		panic("membus: encode a batch: " + err.Error())
	}
	return data, true
}

func decode(data []byte) []*raftpb.Message {
	var batch raftpb.Message
	if err := proto.Unmarshal(data, &batch); err != nil {
		panic("membus: decode a batch: " + err.Error())
	}
	return batch.Responses
}
