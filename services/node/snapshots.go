package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// snapshots moves whole states between nodes. Raft's message is only told to
// the receiving replica once the state has arrived, verified and synced.
type snapshots struct {
	node *Node
	// busy while a state is received, until raft has taken or refused it.
	busy atomic.Bool
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
	pr, pw := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := member.Export(pw, n.store, m)
		pw.CloseWithError(err)
		written <- err
	}()
	err = n.peers.SendSnapshot(n.ctx, m.GetTo(), header, pr)
	pr.CloseWithError(errors.New("the transfer ended"))
	if cause := <-written; errors.Is(cause, store.ErrCorrupt) {
		return cause
	}
	return err
}

// receive takes a state that a leader streams.
func (s *snapshots) receive(_ context.Context, from uint64, header []byte, r io.Reader) error {
	m := &raftpb.Message{}
	if err := proto.Unmarshal(header, m); err != nil {
		return fmt.Errorf("the snapshot's header is malformed: %w", err)
	}
	if !s.busy.CompareAndSwap(false, true) {
		return errors.New("another snapshot is being received or installed")
	}
	n := s.node
	received, err := member.Import(r, n.store, m, from, n.id)
	if err != nil {
		s.busy.Store(false)
		return err
	}
	n.log.Info("received a snapshot", "from", n.name(from), "index", received.Index())
	n.box.do(func(c *consensus) { c.member.SnapshotReceived(received) })
	return nil
}

// drop throws a received state away that raft had no use for.
func (s *snapshots) drop(state store.Incoming) {
	if err := state.Abort(); err != nil {
		s.node.fail(fmt.Errorf("removing an outdated snapshot: %w", err))
	}
	s.busy.Store(false)
}

// install exchanges log and state for the received snapshot. It runs on the
// appender's goroutine with the applier standing still.
func (s *snapshots) install(b store.Batch) (err error) {
	n := s.node
	defer s.busy.Store(false)
	if !n.applier.do(n.ctx, func() {
		var m *mvcc.Machine
		var opened member.Applied
		if m, opened, err = member.Install(n.store, b); err == nil {
			n.adopt(m, opened)
		}
	}) {
		return n.ctx.Err()
	}
	return err
}
