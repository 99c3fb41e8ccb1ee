package member

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Member is a node's part in consensus and in the time of leases. Its owner turns
// it like this:
//
//	m.Step(now, inputs)
//	for {
//		perform(m.Effects())
//		if !m.Pending() {
//			break
//		}
//	}
type Member struct {
	// Replica may be given inputs directly while a step takes its own: from
	// Inputs.Calls and Inputs.Leads, and while effects are performed.
	Replica *replica.Replica
	Leases  *Leases

	role replica.Role
	// hard is the commit index's last move that was not written yet; it goes
	// with the next write.
	hard *raftpb.HardState
	// appending counts the tasks in the log's queue.
	appending int
	received  *Received // waits for raft's word
	log       raft.Logger
}

// Inputs are what came in since the last step.
type Inputs struct {
	Frames   []Frame
	Lost     []uint64              // peers whose connection closed
	Appended []*replica.AppendTask // by Write
	Applied  []Applied             // by Apply or Install
	// Calls and Leads run in the step: what an owner has to say besides, and
	// requests that are the leader's and pass by the log.
	Calls     []func()
	Proposals []replica.Proposal
	Leads     []func()
	Reads     []replica.Read
}

// Frame is a batch of messages from a peer.
type Frame struct {
	From uint64
	Msgs []*raftpb.Message
}

// Applied are tasks that are applied, and what that did to timers.
type Applied struct {
	Tasks  []*replica.ApplyTask
	Timers []mvcc.Timer
	// Clock, if not nil, takes the place of the one in use: the whole state was
	// exchanged.
	Clock *lease.Clock
	ended []*expiry // that were decided
}

// Effects is what the owner must do after a step: Role first, the rest in any
// order beside each other, but Log and Apply each in the order of the Effects.
type Effects struct {
	// Role is set when it changed. What is answered from here on goes by it.
	Role *replica.Role
	// Send goes to the network now.
	Send []*raftpb.Message
	// Log goes to the end of the log's queue. See Write.
	Log *LogItem
	// Apply goes to the end of the state machine's queue. See Apply.
	Apply *replica.ApplyTask
	// Snapshots are to be sent with their states (Export), each followed by
	// Replica.SnapshotSent.
	Snapshots []*raftpb.Message
	// Unused is a received state that is to be thrown away.
	Unused store.Incoming
	// Reads wait for the state; see Waiting.
	Reads []replica.ReleasedReads
	// Refused, RefusedReads and Expired are as in replica.Effects.
	Refused      []replica.Refusal
	RefusedReads []replica.Read
	Expired      []replica.Proposal
}

// New starts a member at a time. clock is that of the state as of cfg.Applied.
func New(cfg replica.Config, clock *lease.Clock, now int64) (*Member, error) {
	r, err := replica.New(cfg, now)
	if err != nil {
		return nil, err
	}
	return &Member{Replica: r, Leases: newLeases(clock), log: cfg.Logger}, nil
}

// Step takes inputs at a time of the owner's monotonic clock, in nanoseconds.
func (m *Member) Step(now int64, in Inputs) {
	r := m.Replica
	r.Advance(now)
	m.Leases.advance(now)
	for _, f := range in.Frames {
		r.Receive(f.From, f.Msgs)
	}
	for _, id := range in.Lost {
		r.PeerLost(id)
	}
	for _, t := range in.Appended {
		m.appending--
		r.Appended(t)
	}
	for _, a := range in.Applied {
		m.Leases.applied(a)
		for _, t := range a.Tasks {
			r.Applied(t)
		}
		for _, x := range a.ended {
			if x.refusal != nil {
				m.log.Errorf("the expiry of %v and %d others was refused; it is tried again: %v", x.of[0].ID, len(x.of)-1, x.refusal)
			}
		}
	}
	for _, fn := range in.Calls {
		fn()
	}
	for _, p := range in.Proposals {
		r.Propose(p)
	}
	for _, lead := range in.Leads {
		lead()
	}
	for _, rd := range in.Reads {
		r.Read(rd)
	}
	m.Leases.expire(r, now)
}

// Role is as of the last Effects.
func (m *Member) Role() replica.Role { return m.role }

// Wake is when the next step is due at the latest.
func (m *Member) Wake() int64 { return m.Leases.wake(m.Replica.Wake()) }

// Pending reports whether another call of Effects has something to tell already.
func (m *Member) Pending() bool { return m.Replica.Pending() }

// Effects returns what is to be done since the last call.
func (m *Member) Effects() Effects {
	from := m.Replica.Effects()
	e := Effects{
		Role: from.Role, Send: from.Send, Apply: from.Apply, Snapshots: from.Snapshots,
		Reads: from.Reads, RefusedReads: from.RefusedReads,
		Refused: m.Leases.refused(from.Refused), Expired: m.Leases.unknown(from.Expired),
	}
	if e.Role != nil {
		m.role = *e.Role
		m.Leases.onRole(m.role)
	}
	if from.Append != nil {
		m.append(&e, from.Append)
	}
	if m.received != nil && !m.Pending() {
		e.Unused, m.received = m.received.state, nil
	}
	return e
}

// append passes a task to the log. One that writes nothing is done here and now,
// unless it has to wait for those before it.
func (m *Member) append(e *Effects, t *replica.AppendTask) {
	if t.Hard != nil {
		m.hard = t.Hard
	}
	if !t.Sync && (m.appending == 0 || mutant.Is(mutant.AppendPasses)) {
		e.Send = append(e.Send, t.Remote...)
		m.Replica.Appended(t)
		return
	}
	e.Log = &LogItem{task: t, sync: t.Sync}
	if t.Sync {
		e.Log.batch = store.Batch{Hard: m.hard, Entries: t.Entries}
		m.hard = nil
	}
	if t.Snapshot != nil {
		e.Log.batch.Install = m.install(t.Snapshot)
	}
	m.appending++
}
