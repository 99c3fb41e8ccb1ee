package node

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// inputs is what waits for the consensus goroutine.
type inputs struct {
	proposals []replica.Proposal
	proposed  int // bytes of proposals
	reads     []replica.Read
	frames    []frame
	appended  []*replica.AppendTask
	applied   []appliedTasks
	leads     []leadRequest
	lost      []uint64
	calls     []func(*consensus)
}

// appliedTasks are tasks that the applier has done, and what that did to the
// timers of leases and keys.
type appliedTasks struct {
	tasks  []*replica.ApplyTask
	timers []mvcc.Timer
	// clock, if not nil, takes the place of the one in use: the whole state was
	// exchanged.
	clock *lease.Clock
}

// leadRequest is a request that the leader answers, on the consensus goroutine.
type leadRequest struct {
	*request
	lead func(*consensus, *request)
}

type frame struct {
	from uint64
	msgs []*raftpb.Message
}

// framesMax bounds the batches that wait; past it the network loses them.
const framesMax = 4096

// mailbox hands inputs from any goroutine to the one that owns the replica,
// all that came in at once. What is in it is bounded: proposals, reads, leads
// and frames by those who put them there, the rest by the tasks under way.
type mailbox struct {
	mu   sync.Mutex
	in   inputs
	wake chan struct{}
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put adds to the inputs and wakes the owner.
func (m *mailbox) put(add func(*inputs)) {
	m.mu.Lock()
	add(&m.in)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (m *mailbox) take() inputs {
	m.mu.Lock()
	in := m.in
	m.in = inputs{}
	m.mu.Unlock()
	return in
}

// Receive is bus.Handler's.
func (m *mailbox) Receive(from uint64, msgs []*raftpb.Message) {
	m.put(func(in *inputs) {
		if len(in.frames) < framesMax {
			in.frames = append(in.frames, frame{from, msgs})
		}
	})
}

// PeerLost is bus.Handler's.
func (m *mailbox) PeerLost(id uint64) {
	m.put(func(in *inputs) { in.lost = append(in.lost, id) })
}

// call runs fn on the consensus goroutine.
func (m *mailbox) call(fn func(*replica.Replica)) {
	m.do(func(c *consensus) { fn(c.replica) })
}

// do is call for what concerns more than the replica.
func (m *mailbox) do(fn func(*consensus)) {
	m.put(func(in *inputs) { in.calls = append(in.calls, fn) })
}
