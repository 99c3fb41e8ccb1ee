package membus_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/kvorum/kvorum/libs/core/bus"
	"github.com/kvorum/kvorum/libs/core/bus/bustest"
	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"go.etcd.io/raft/v3/raftpb"
)

// network lets the suite run on a virtual clock.
type network struct {
	net   *membus.Net
	nodes map[bustest.NodeKey]*membus.Node
	now   int64
}

func (n *network) Transport(k bustest.NodeKey) bus.Transport { return n.nodes[k] }
func (n *network) Close(k bustest.NodeKey)                   { n.nodes[k].Close() }

func (n *network) Wait(cond func() bool) bool {
	for range 10_000 {
		if cond() {
			return true
		}
		n.now += 1000
		n.net.Deliver(n.now)
	}
	return false
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, nodes map[bustest.NodeKey]bus.Handler) bustest.Network {
		n := &network{net: membus.New(1), nodes: map[bustest.NodeKey]*membus.Node{}}
		n.net.SetFaults(membus.Faults{DelayMin: 100, DelayMax: 50_000})
		for k, h := range nodes {
			n.nodes[k] = n.net.Join(k.Cluster, k.ID, h)
		}
		return n
	})
}

// trace records what arrives, in order.
type trace struct {
	id  uint64
	log *[]string
}

func (tr trace) Receive(from uint64, msgs []*raftpb.Message) {
	for _, m := range msgs {
		*tr.log = append(*tr.log, fmt.Sprintf("%d<-%d:%d", tr.id, from, m.GetIndex()))
	}
}

func (tr trace) PeerLost(id uint64) { *tr.log = append(*tr.log, fmt.Sprintf("%d lost %d", tr.id, id)) }

func messages(index uint64) []*raftpb.Message {
	return []*raftpb.Message{{Index: &index}}
}

// run sends 1000 messages over a network with faults and returns the trace.
func run(seed uint64, f membus.Faults) []string {
	var log []string
	n := membus.New(seed)
	n.SetFaults(f)
	var nodes []*membus.Node
	for id := uint64(1); id <= 3; id++ {
		nodes = append(nodes, n.Join(1, id, trace{id, &log}))
	}
	for i := range uint64(1000) {
		n.Deliver(int64(i) * 10)
		nodes[i%3].Send((i+1)%3+1, messages(i))
	}
	nodes[2].Close()
	for at, ok := n.Next(); ok; at, ok = n.Next() {
		n.Deliver(at)
	}
	return log
}

func TestSameSeedSameTrace(t *testing.T) {
	f := membus.Faults{DelayMin: 1, DelayMax: 500, Loss: 0.1, Duplicate: 0.1, Reorder: 0.2}
	hash := func(seed uint64) uint64 {
		h := fnv.New64()
		for _, line := range run(seed, f) {
			fmt.Fprintln(h, line)
		}
		return h.Sum64()
	}
	if hash(5) != hash(5) {
		t.Error("the same seed gave two traces")
	}
	if hash(5) == hash(6) {
		t.Error("two seeds gave the same trace")
	}
}

func TestFaults(t *testing.T) {
	delays := membus.Faults{DelayMin: 1, DelayMax: 500}
	count := func(f membus.Faults) (arrived int, ordered bool) {
		var of1 []string
		log := run(9, f)
		last := -1
		ordered = true
		for _, line := range log {
			var to, from, index int
			if n, _ := fmt.Sscanf(line, "%d<-%d:%d", &to, &from, &index); n != 3 {
				continue
			}
			arrived++
			if to == 2 && from == 1 {
				of1 = append(of1, line)
				ordered = ordered && index > last
				last = index
			}
		}
		return arrived, ordered && len(of1) > 0
	}
	if got, ordered := count(delays); got < 950 || got > 1000 || !ordered {
		t.Errorf("healthy: %d of 1000, ordered %v", got, ordered)
	}
	f := delays
	f.Loss = 0.5
	if got, ordered := count(f); got < 350 || got > 650 || !ordered {
		t.Errorf("loss: %d of 1000, ordered %v", got, ordered)
	}
	f = delays
	f.Duplicate = 1
	if got, _ := count(f); got < 1900 {
		t.Errorf("duplicate: %d of 2000", got)
	}
	f = delays
	f.Reorder = 0.5
	if _, ordered := count(f); ordered {
		t.Error("reorder: nothing overtook anything")
	}
}

func TestCutIsOneWay(t *testing.T) {
	var log []string
	n := membus.New(1)
	n.SetFaults(membus.Faults{DelayMin: 10, DelayMax: 10})
	a, b := n.Join(1, 1, trace{1, &log}), n.Join(1, 2, trace{2, &log})
	a.Send(2, messages(1)) // under way when the cut comes
	n.Cut(1, 1, 2)
	a.Send(2, messages(2))
	b.Send(1, messages(3))
	n.Deliver(10)
	n.Heal(1, 1, 2)
	a.Send(2, messages(4))
	n.Deliver(20)
	if want := []string{"1<-2:3", "2<-1:4"}; !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

func TestRestartedNodeGetsNothingOld(t *testing.T) {
	var log []string
	n := membus.New(1)
	n.SetFaults(membus.Faults{DelayMin: 10, DelayMax: 10})
	a, b := n.Join(1, 1, trace{1, &log}), n.Join(1, 2, trace{2, &log})
	a.Send(2, messages(1))
	b.Close()
	if b.Send(1, messages(2)) {
		t.Error("a closed node sends")
	}
	n.Join(1, 2, trace{2, &log})
	a.Send(2, messages(3))
	n.Deliver(10)
	if want := []string{"1 lost 2", "2<-1:3"}; !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}
