package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/snapshot"
	"github.com/kvorum/kvorum/libs/core/store"
)

// snapshots moves whole states between nodes. Raft's message is only told to
// the receiving replica once the state has arrived, verified and synced.
type snapshots struct {
	node *Node
	// busy while a state is received, until raft has taken or refused it.
	busy atomic.Bool
	// received is a state that waits for raft's word; meta describes it.
	received store.Incoming
	meta     *raftpb.SnapshotMetadata
	// wanted: raft has taken it, and the appender is to install it. The
	// consensus goroutine's.
	wanted bool
}

// send streams the state that m describes, in a goroutine of its own.
func (s *snapshots) send(m *raftpb.Message) {
	n := s.node
	go func() {
		err := s.stream(m)
		if errors.Is(err, store.ErrCorrupt) {
			n.damaged(err)
		}
		if err != nil {
			n.log.Warn("sending a snapshot failed; it is tried again", "to", n.name(m.GetTo()), "error", err)
		} else {
			n.log.Info("sent a snapshot", "to", n.name(m.GetTo()), "index", m.GetSnapshot().GetMetadata().GetIndex())
		}
		n.box.call(func(r *replica.Replica) { r.SnapshotSent(m.GetTo(), err == nil) })
	}()
}

func (s *snapshots) stream(m *raftpb.Message) error {
	header, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	n := s.node
	meta := m.GetSnapshot().GetMetadata()
	view, err := n.store.State().Read(store.EndOf(meta.GetIndex()))
	if err != nil {
		return err
	}
	defer view.Close()
	pr, pw := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		pw.CloseWithError(snapshot.Write(pw, view, meta))
	}()
	err = n.peers.SendSnapshot(n.ctx, m.GetTo(), header, pr)
	// The writer must have ended before the view is closed, whatever happened.
	pr.CloseWithError(errors.New("the transfer ended"))
	<-written
	return err
}

// receive takes a state that a leader streams.
func (s *snapshots) receive(ctx context.Context, from uint64, header []byte, r io.Reader) error {
	m := &raftpb.Message{}
	if err := proto.Unmarshal(header, m); err != nil {
		return fmt.Errorf("the snapshot's header is malformed: %w", err)
	}
	n := s.node
	want := m.GetSnapshot().GetMetadata()
	if m.GetType() != raftpb.MsgSnap || m.GetFrom() != from || m.GetTo() != n.id || want.GetIndex() == 0 {
		return fmt.Errorf("the snapshot is not for %s", n.cfg.Name)
	}
	if !s.busy.CompareAndSwap(false, true) {
		return errors.New("another snapshot is being received or installed")
	}
	in, err := n.store.Receive()
	if err != nil {
		s.busy.Store(false)
		return err
	}
	meta, err := snapshot.Read(r, in)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // to the end, where a cut shows
	}
	if err == nil && (meta.GetIndex() != want.GetIndex() || meta.GetTerm() != want.GetTerm()) {
		err = fmt.Errorf("the snapshot is of index %d, not %d", meta.GetIndex(), want.GetIndex())
	}
	if err == nil {
		err = in.Finish()
	}
	if err != nil {
		err = errors.Join(err, in.Abort())
		s.busy.Store(false)
		return err
	}
	n.log.Info("received a snapshot", "from", n.name(from), "index", meta.GetIndex())
	n.box.call(func(r *replica.Replica) {
		s.meta, s.received, s.wanted = meta, in, false
		r.SnapshotReceived(m)
		n.box.call(s.settle) // after the effects of this step
	})
	return nil
}

// settle throws a received state away that raft had no use for.
func (s *snapshots) settle(*replica.Replica) {
	if s.wanted {
		return
	}
	if err := s.received.Abort(); err != nil {
		s.node.fail(fmt.Errorf("removing an outdated snapshot: %w", err))
	}
	s.busy.Store(false)
}

// install exchanges log and state for the received snapshot. It runs on the
// appender's goroutine with the applier standing still.
func (s *snapshots) install(t *replica.AppendTask, b store.Batch) (err error) {
	n := s.node
	if s.meta.GetIndex() != t.Snapshot.GetIndex() {
		return fmt.Errorf("the snapshot of index %d was not received", t.Snapshot.GetIndex())
	}
	defer s.busy.Store(false)
	b.Install = &store.Install{Snapshot: t.Snapshot, State: s.received}
	if !n.applier.do(n.ctx, func() {
		if err = n.store.Log().Append(b); err != nil {
			return
		}
		var m *mvcc.Machine
		if m, err = mvcc.Open(n.store.State(), t.Snapshot.GetIndex()); err == nil {
			err = n.adopt(m)
		}
	}) {
		return n.ctx.Err()
	}
	return err
}
