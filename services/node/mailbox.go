package node

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// inputs is what waits for the consensus goroutine.
type inputs struct {
	member.Inputs
	proposed int // bytes of proposals
}

// leadRequest is a request that the leader answers, on the consensus goroutine.
type leadRequest struct {
	*request
	lead func(*consensus, *request)
}

// framesMax bounds the batches that wait; past it the network loses them.
const framesMax = 4096

// mailbox hands inputs from any goroutine to the one that owns the replica,
// all that came in at once. What is in it is bounded: proposals, reads, leads
// and frames by those who put them there, the rest by the tasks under way.
type mailbox struct {
	mu sync.Mutex
	in inputs
	// writes, reads: those wait for what is under way and wake nobody.
	writes, reads bool
	wake          chan struct{}
	owner         *consensus // set before it runs
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put adds to the inputs and wakes the owner.
func (m *mailbox) put(add func(*inputs)) {
	m.mu.Lock()
	add(&m.in)
	m.mu.Unlock()
	m.rouse()
}

func (m *mailbox) rouse() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// propose adds a write, read a read. The owner is woken unless it has said that
// it would not even look at them now.
func (m *mailbox) propose(p replica.Proposal) (ok bool) {
	m.mu.Lock()
	if ok = len(m.in.Proposals) < replica.QueueMax && m.in.proposed <= proposedBytesMax; ok {
		m.in.Proposals = append(m.in.Proposals, p)
		m.in.proposed += len(p.Command)
	}
	busy := m.writes
	m.mu.Unlock()
	if !busy {
		m.rouse()
	}
	return ok
}

func (m *mailbox) read(r replica.Read) (ok bool) {
	m.mu.Lock()
	if ok = len(m.in.Reads) < replica.ReadsMax; ok {
		m.in.Reads = append(m.in.Reads, r)
	}
	busy := m.reads
	m.mu.Unlock()
	if !busy {
		m.rouse()
	}
	return ok
}

// rest is called before the owner waits: what it is busy with. It reports whether
// something has come meanwhile that it is not too busy for.
func (m *mailbox) rest(writes, reads bool) (more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes, m.reads = writes, reads
	return !writes && len(m.in.Proposals) > 0 || !reads && len(m.in.Reads) > 0
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
		if len(in.Frames) < framesMax {
			in.Frames = append(in.Frames, member.Frame{From: from, Msgs: msgs})
		}
	})
}

// PeerLost is bus.Handler's.
func (m *mailbox) PeerLost(id uint64) {
	m.put(func(in *inputs) { in.Lost = append(in.Lost, id) })
}

// call runs fn on the consensus goroutine.
func (m *mailbox) call(fn func(*replica.Replica)) {
	m.do(func(c *consensus) { fn(c.member.Replica) })
}

// do is call for what concerns more than the replica.
func (m *mailbox) do(fn func(*consensus)) {
	m.put(func(in *inputs) { in.Calls = append(in.Calls, func() { fn(m.owner) }) })
}
