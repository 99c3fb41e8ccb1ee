package membus_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"go.etcd.io/raft/v3/raftpb"
)

type printer struct{}

func (printer) Receive(from uint64, msgs []*raftpb.Message) {
	fmt.Printf("%d messages from node %d\n", len(msgs), from)
}

func (printer) PeerLost(id uint64) { fmt.Printf("node %d is lost\n", id) }

// The caller owns the clock: nothing happens between two calls of Deliver.
func Example() {
	net := membus.New(42)
	net.SetFaults(membus.Faults{DelayMin: 1000, DelayMax: 1000})
	one := net.Join(7, 1, printer{})
	net.Join(7, 2, printer{})
	one.Send(2, []*raftpb.Message{{}, {}})
	fmt.Println("delivered at 999:", net.Deliver(999))
	fmt.Println("delivered at 1000:", net.Deliver(1000))
	one.Close()
	for at, ok := net.Next(); ok; at, ok = net.Next() {
		net.Deliver(at)
	}
	// Output:
	// delivered at 999: 0
	// 2 messages from node 1
	// delivered at 1000: 1
	// node 1 is lost
}
