package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// snapshotOffer is the log as raft reads it. It offers the state as it is now
// as a snapshot; the data follows apart from the message.
type snapshotOffer struct {
	store.Log
	r *Replica
}

// InitialState gives a founding member the term of the state that it starts
// from: the first election is for a later one, so that nothing is taken for an
// entry of its leader's own term that is not.
func (s snapshotOffer) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hard, conf, err := s.Log.InitialState()
	if err != nil || !raft.IsEmptyHardState(hard) {
		return hard, conf, err
	}
	index := s.r.applied.index
	term := s.r.applied.term
	return &raftpb.HardState{Term: &term, Commit: &index}, conf, nil
}

// Snapshot describes the state at the last applied index. One transfer is under
// way at a time; meanwhile none is offered.
func (s snapshotOffer) Snapshot() (*raftpb.Snapshot, error) {
	if s.r.sending != nil || s.r.offered {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	_, conf, err := s.Log.InitialState()
	if err != nil {
		return nil, err
	}
	s.r.offered = true
	index, term := s.r.applied.index, s.r.applied.term
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: conf, Index: &index, Term: &term}}, nil
}

// Retention says how much of the log is kept for followers.
type Retention struct {
	// Entries that every node keeps, as far as EntryBytes allows, so that another
	// node can catch up from whoever leads next.
	Entries, EntryBytes uint64
	// Bytes at most that are kept for a follower that does not answer.
	Bytes uint64
}

// PlanTruncate is the index up to which the log may be forgotten now: nothing
// beyond the checkpoint, nothing that a follower which answers still needs or
// that a snapshot under way makes needed, and nothing within the retention.
func (r *Replica) PlanTruncate(keep Retention) (index uint64) {
	log := r.cfg.Log
	first, err1 := log.FirstIndex()
	last, err2 := log.LastIndex()
	if err1 != nil || err2 != nil || last < first {
		return 0
	}
	entries := keep.Entries
	if perEntry := log.Bytes() / (last - first + 1); perEntry > 0 {
		entries = min(entries, keep.EntryBytes/perEntry)
	}
	if last <= entries {
		return 0
	}
	index = min(log.Checkpoint(), r.applied.index, last-entries)
	if mutant.Is(mutant.TruncateBeyondCheckpoint) {
		index = min(r.applied.index, last-entries)
	}
	if r.sending != nil {
		index = min(index, r.sending.GetSnapshot().GetMetadata().GetIndex())
	}
	if r.rn.BasicStatus().RaftState != raft.StateLeader {
		return index
	}
	pinnable := log.Bytes() <= keep.Bytes
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		has := pr.Match
		if pr.State == tracker.StateProbe {
			has = max(has, pr.Next-1) // a snapshot has just brought it here
		}
		servable := has+1 >= first // if not, it needs a snapshot anyway
		if id != r.cfg.ID && servable && (pr.RecentActive || pinnable) {
			index = min(index, has)
		}
	})
	return index
}
