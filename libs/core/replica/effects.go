package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/command"
)

// Proposal is an encoded command that a client wants in the log.
type Proposal struct {
	Command  []byte // protobuf of command.Command
	Deadline int64  // past it the proposal is given up
	Tag      any    // the owner's, handed back untouched
}

// Read is a request for a linearizable read.
type Read struct {
	Deadline int64
	// Term, if not 0, is a leadership of this node that the round has to confirm:
	// the read is refused unless the node still leads in it after the round.
	Term uint64
	Tag  any
}

// Role tells what a node may answer.
type Role struct {
	Term   uint64
	Leader uint64 // id of the leader, 0 where none is known
	// Leading: this node is the leader.
	Leading bool
	// Serving: it is a leader that may take writes.
	Serving bool
}

// Effects is what the owner must do after a step. The fields are independent of
// each other but for the order within Append and within Apply, each of which
// must be performed in the order they were handed out; Append and Apply may
// run beside each other and beside Send.
type Effects struct {
	// Role is set when it changed.
	Role *Role
	// Send goes to the network now. Nothing in it waits for the disk.
	Send []*raftpb.Message
	// Append is written to the log, durably where it says so, before Appended
	// is called with it and before its Remote responses are sent.
	Append *AppendTask
	// Apply holds committed entries. Applied is called once their effects are
	// readable; they need not be durable.
	Apply *ApplyTask
	// Snapshots are to be streamed to followers, each followed by SnapshotSent.
	Snapshots []*raftpb.Message
	// Reads may be served from any state that has applied their index.
	Reads []ReleasedReads
	// Refused were never proposed: certainly not applied.
	Refused []Refusal
	// RefusedReads saw no quorum before their deadline, or the end of their
	// leadership.
	RefusedReads []Read
	// Expired were proposed and saw no outcome before their deadline: unknown.
	Expired []Proposal
}

// ReleasedReads are reads that one quorum round confirmed.
type ReleasedReads struct {
	Index uint64
	Reads []Read
}

// Refusal is a proposal that was not proposed.
type Refusal struct {
	Proposal Proposal
	Cause    Cause
}

// Cause says why a proposal was refused.
type Cause int

const (
	// CauseNoLeader: this node does not lead, or its leadership is in doubt.
	CauseNoLeader Cause = iota
	// CauseOverloaded: a queue is full.
	CauseOverloaded
)

// AppendTask is one write to the log.
type AppendTask struct {
	// Sync: the write must be durable. Without it only the commit index moves,
	// which may be written together with the next task; the responses still
	// wait for every task before.
	Sync    bool
	Hard    *raftpb.HardState // nil: unchanged
	Entries []*raftpb.Entry
	// Snapshot, if not nil, replaces the whole log by a state that the owner
	// has received and given to SnapshotReceived before.
	Snapshot *raftpb.SnapshotMetadata
	// Remote are messages to send once the write is done.
	Remote []*raftpb.Message
	local  []*raftpb.Message
}

// ApplyTask is a run of consecutive committed entries.
type ApplyTask struct {
	Entries  []Committed
	response []*raftpb.Message
}

// Committed is one committed entry.
type Committed struct {
	Entry *raftpb.Entry
	// Header is the entry's, zero for one without commands.
	Header command.Header
	// Proposals are this node's own behind the entry's commands, in their
	// order; nil for entries of other nodes or of an earlier life.
	Proposals []Proposal
}
