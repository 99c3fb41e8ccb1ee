package member

import (
	"errors"
	"fmt"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/snapshot"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Received is a state that arrived as a snapshot, verified and durable apart from
// the one in use. Raft's message is told to the replica only with it.
type Received struct {
	msg   *raftpb.Message
	state store.Incoming
}

// Index is that of the last entry in the state.
func (r *Received) Index() uint64 { return r.msg.GetSnapshot().GetMetadata().GetIndex() }

// Abort throws the state away.
func (r *Received) Abort() error { return r.state.Abort() }

// Export writes the state that a snapshot's message describes. It may run beside
// everything else. An error may wrap store.ErrCorrupt.
func Export(w io.Writer, st store.Node, m *raftpb.Message) error {
	meta := m.GetSnapshot().GetMetadata()
	view, err := st.State().Read(store.EndOf(meta.GetIndex()))
	if err != nil {
		return err
	}
	defer view.Close()
	return snapshot.Write(w, view, meta)
}

// Import receives the state of a message that node `from` sends to node `self`.
// One state at a time is received, until raft's word on it was performed: Install,
// or Effects.Unused. It may run beside everything else.
func Import(rd io.Reader, st store.Node, m *raftpb.Message, from, self uint64) (*Received, error) {
	want := m.GetSnapshot().GetMetadata()
	if m.GetType() != raftpb.MsgSnap || m.GetFrom() != from || m.GetTo() != self || want.GetIndex() == 0 {
		return nil, errors.New("the snapshot is not for this node")
	}
	in, err := st.Receive()
	if err != nil {
		return nil, err
	}
	meta, err := snapshot.Read(rd, in)
	if err == nil {
		_, err = io.Copy(io.Discard, rd) // to the end, where a cut shows
	}
	if err == nil && (meta.GetIndex() != want.GetIndex() || meta.GetTerm() != want.GetTerm()) {
		err = fmt.Errorf("the snapshot is of index %d, not %d", meta.GetIndex(), want.GetIndex())
	}
	if err == nil {
		err = in.Finish()
	}
	if err != nil {
		return nil, errors.Join(err, in.Abort())
	}
	return &Received{msg: m, state: in}, nil
}

// SnapshotReceived takes a received state, in a step. The Effects of the step
// install it or give it back as Unused.
func (m *Member) SnapshotReceived(r *Received) {
	m.received = r
	m.Replica.SnapshotReceived(r.msg)
}

// install is the received state that raft has taken; nil if there is none such.
func (m *Member) install(s *raftpb.SnapshotMetadata) *store.Install {
	r := m.received
	if r == nil || r.Index() != s.GetIndex() {
		return nil
	}
	m.received = nil
	return &store.Install{Snapshot: s, State: r.state}
}

// Install exchanges log and state for a received one and opens it. It runs while
// nothing is applied. The owner goes on with the returned machine, and hands the
// Applied to Member.Step before the task that installed it.
func Install(st store.Node, b store.Batch) (*mvcc.Machine, Applied, error) {
	if err := st.Log().Append(b); err != nil {
		return nil, Applied{}, err
	}
	return Open(st, b.Install.Snapshot.GetIndex())
}

// Open opens the state as of an index, with the time of its leases.
func Open(st store.Node, index uint64) (*mvcc.Machine, Applied, error) {
	m, err := mvcc.Open(st.State(), index)
	if err != nil {
		return nil, Applied{}, fmt.Errorf("opening the state at index %d: %w", index, err)
	}
	clock := lease.New()
	err = m.Published().Timers(func(t mvcc.Timer) error {
		setTimer(clock, t)
		return nil
	})
	if err != nil {
		return nil, Applied{}, fmt.Errorf("reading the leases: %w", err)
	}
	return m, Applied{Clock: clock}, nil
}
