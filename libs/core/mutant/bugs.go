package mutant

// Consensus: libs/core/replica, and the loop around it in libs/core/member.
const (
	// AckBeforeSync: a follower confirms entries that its disk does not have.
	AckBeforeSync Bug = "ack-before-sync"
	// VoteNotSynced: a vote is sent before it is on disk.
	VoteNotSynced Bug = "vote-not-synced"
	// LogNotSynced: the log says that a batch is durable without a flush.
	LogNotSynced Bug = "log-not-synced"
	// ReadWithoutQuorum: a leader answers linearizable reads on its own word.
	ReadWithoutQuorum Bug = "read-without-quorum"
	// ReadBeforeOwnTerm: a new leader answers reads as of the commit index that
	// it knew when it was elected.
	ReadBeforeOwnTerm Bug = "read-before-own-term"
	// ReadBeforeApplied: a confirmed read is answered from a state that has not
	// applied its index.
	ReadBeforeApplied Bug = "read-before-applied"
	// AppendPasses: what confirms earlier entries goes out before they are
	// written, where it needs no write of its own.
	AppendPasses Bug = "append-passes"
	// LostDiskVotes: a node that has lost its disk votes as if it had not.
	LostDiskVotes Bug = "lost-disk-votes"
	// TruncateBeyondCheckpoint: the log is cut beyond what the state has on disk.
	TruncateBeyondCheckpoint Bug = "truncate-beyond-checkpoint"
	// CheckpointBeforeSync: the checkpoint is recorded, the state is not on disk.
	CheckpointBeforeSync Bug = "checkpoint-before-sync"
	// DiscardBeforeCheckpoint: old versions go before a checkpoint is recorded
	// that makes them unnecessary for replay.
	DiscardBeforeCheckpoint Bug = "discard-before-checkpoint"
)

// The state machine: libs/core/mvcc.
const (
	// ApplyTwice: after a restart, entries are applied to a state that has
	// their effects already.
	ApplyTwice Bug = "apply-twice"
	// DedupForgotten: a restart forgets the ids of the writes before it.
	DedupForgotten Bug = "dedup-forgotten"
	// RevisionFromKeys: a restart takes the revision from the newest key, and
	// misses that one was deleted since.
	RevisionFromKeys Bug = "revision-from-keys"
	// PublishEarly: the new revision is shown before its changes can be read.
	PublishEarly Bug = "publish-early"
	// PrevFromEntry: an event's previous value is read as of the entry before,
	// not as of the command before.
	PrevFromEntry Bug = "prev-from-entry"
	// ReadCompactedInTxn: a transaction may read a compacted revision.
	ReadCompactedInTxn Bug = "read-compacted-in-txn"
	// TrimCompacted: trimming takes the compacted revision's events as well.
	TrimCompacted Bug = "trim-compacted"
	// SkipCompactedDeletes: history that begins with the compacted revision
	// leaves out its deletes.
	SkipCompactedDeletes Bug = "skip-compacted-deletes"
	// ExpireAnyGeneration: an expiry ends whatever has the lease's id, or the key.
	ExpireAnyGeneration Bug = "expire-any-generation"
	// HotKeepsDeleted: what is remembered of a key outlives its deletion.
	HotKeepsDeleted Bug = "hot-keeps-deleted"
	// FenceIgnored: the compare of a lock's fence holds for everybody.
	FenceIgnored Bug = "fence-ignored"
)

// Leases: libs/core/lease, and the order around it in libs/core/member.
const (
	// LeaseClockRuns: lease time passes on every node, and a new leader goes on
	// with what it has.
	LeaseClockRuns Bug = "lease-clock-runs"
	// LeaseClockLeaps: lease time follows the clock, however long the node stood
	// still.
	LeaseClockLeaps Bug = "lease-clock-leaps"
	// RenewExpiring: a lease may be renewed while its expiry is in flight.
	RenewExpiring Bug = "renew-expiring"
	// ExpiryForgotten: a leadership that comes back in the same term forgets
	// what it had proposed to expire.
	ExpiryForgotten Bug = "expiry-forgotten"
	// RenewWithoutQuorum: a renewal is acknowledged once it is recorded.
	RenewWithoutQuorum Bug = "renew-without-quorum"
	// RenewWithoutLook: a renewal is acknowledged though the lease has ended by
	// an entry that was not applied when it was recorded.
	RenewWithoutLook Bug = "renew-without-look"
	// LockForAll: whoever waits for a lock gets it.
	LockForAll Bug = "lock-for-all"
)

// Watches: libs/core/fanout, libs/core/grant, libs/client/watchstate.
const (
	// ProgressAhead: progress speaks of events that are not published yet.
	ProgressAhead Bug = "progress-ahead"
	// PlusLeftOut: an event does not say that more of its revision follow.
	PlusLeftOut Bug = "plus-left-out"
	// TakeoverForgets: a replica that takes over drops what waited to be published.
	TakeoverForgets Bug = "takeover-forgets"
	// WindowOverflow: the window answers though it does not reach back so far.
	WindowOverflow Bug = "window-overflow"
	// BoundForgotten: a prefix that fell out of the table counts as unchanged
	// since the start.
	BoundForgotten Bug = "bound-forgotten"
	// TailsLeftOut: tails that do not fit are left out and progress goes on.
	TailsLeftOut Bug = "tails-left-out"
	// RoutesIgnored: progress goes on over a route that broke with a tail under
	// way and came back.
	RoutesIgnored Bug = "routes-ignored"
	// TwoPublishers: the leader grants publishing to whoever asks, in one epoch.
	TwoPublishers Bug = "two-publishers"
	// OldEpoch: a watch listens to a publisher that was replaced.
	OldEpoch Bug = "old-epoch"
	// Duplicates: a watch delivers again what it has delivered.
	Duplicates Bug = "duplicates"
	// FullForgets: a watch whose reader is slow forgets what it had to let go.
	FullForgets Bug = "full-forgets"
	// InterruptionIgnored: a watch goes on after a lost connection as if nothing
	// could have been lost.
	InterruptionIgnored Bug = "interruption-ignored"
	// AnchorForgotten: a watch believes progress that began after messages may
	// have been lost.
	AnchorForgotten Bug = "anchor-forgotten"
	// FutureForgotten: a watch that begins in the future gets what is before.
	FutureForgotten Bug = "future-forgotten"
	// HalfRevision: a watch delivers a revision before it has all of it.
	HalfRevision Bug = "half-revision"
)
