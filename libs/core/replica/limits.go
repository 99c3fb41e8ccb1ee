package replica

import "github.com/kvorum/kvorum/libs/core/store"

// Bounds and periods. Durations are nanoseconds.
const (
	millisecond = int64(1_000_000)

	// TickNanos is the period of raft's clock. An election begins after
	// electionTicks without a leader, with raft's own random addition.
	TickNanos      = 50 * millisecond
	electionTicks  = 20
	heartbeatTicks = 2

	// entryBytesMax is where an entry stops taking in commands; one larger
	// command makes an entry of its own.
	entryBytesMax = 256 << 10
	// proposeBytesMax is where a step stops proposing entries: what waits goes
	// into the next write.
	proposeBytesMax = 4 << 20
	// gatherDelay is how long proposals wait at most for the entry before theirs to
	// be committed: longer than that takes in one data center, and little
	// between two.
	gatherDelay = Patience
	// Patience is how long an owner may keep what Busy tells of to itself.
	Patience = 4 * millisecond
	// noticeDelay is how long followers may go without word of a new commit index.
	noticeDelay = 5 * millisecond
	// messageBytesMax bounds an append message, inflight* what is sent to a
	// follower before it answers.
	messageBytesMax  = 256 << 10
	inflightMessages = 256
	inflightBytes    = 8 << 20
	// uncommittedBytesMax bounds what a leader has proposed and not committed.
	uncommittedBytesMax = 64 << 20
	// applyBytesMax bounds what was handed out to be applied and was not yet.
	applyBytesMax = 8 << 20

	// QueueMax and queueBytesMax bound the proposals that wait for an entry.
	QueueMax      = 16_384
	queueBytesMax = 64 << 20
	// ReadsMax bounds the reads that wait for a quorum round.
	ReadsMax = 65_536

	// readRetryNanos is after how long a read round that raft silently
	// dropped is begun again.
	readRetryNanos = 200 * millisecond
	// roundsMax is how many read rounds a node keeps under way. What comes
	// meanwhile shares the next one.
	roundsMax = 1

	// quorumSilence is how long a leader serves without hearing from a quorum.
	quorumSilence = 500 * millisecond
	// diskSilence is how long an append may be outstanding before a leader
	// hands over, and again before it falls silent.
	diskSilence = 1000 * millisecond

	// campaignStep spaces the survivors' first campaigns after a leader's
	// death by their rank; later ones come after campaignStep to twice that,
	// for campaignFor altogether.
	campaignStep = 40 * millisecond
	campaignFor  = 1000 * millisecond
	// startDelay is how long a node that starts listens for a leader before it
	// campaigns in the same way.
	startDelay = 150 * millisecond
)

// Tuning are timeouts and the bounds of batches and queues. A field that is 0 is what is
// shipped; simulations draw others, to meet what is rare with the shipped ones.
type Tuning struct {
	// EntryBytes is where an entry stops taking in commands, EntryCommands how
	// many it takes at most, ProposeBytes where a step stops proposing entries.
	EntryBytes, EntryCommands, ProposeBytes int
	// GatherDelay is how long proposals wait at most for the entry before theirs,
	// NoticeDelay how long a follower may go without word of a new commit index,
	// in nanoseconds.
	GatherDelay, NoticeDelay int64
	// MessageBytes bounds an append message, InflightMessages and InflightBytes
	// what is sent to a follower before it answers.
	MessageBytes     uint64
	InflightMessages int
	InflightBytes    uint64
	// UncommittedBytes bounds what a leader has proposed and not committed,
	// ApplyBytes what was handed out to be applied and was not yet.
	UncommittedBytes, ApplyBytes uint64
	// Queue and QueueBytes bound the proposals that wait for an entry, Reads the
	// reads that wait for a quorum round.
	Queue, QueueBytes, Reads int
	// ElectionTicks and HeartbeatTicks are periods of TickNanos; those of the
	// members may differ. QuorumSilence is how long a leader serves without
	// hearing from a quorum, DiskSilence how long an append may be outstanding
	// before it hands over, in nanoseconds.
	ElectionTicks, HeartbeatTicks int
	QuorumSilence, DiskSilence    int64
}

// filled has what is shipped in the place of what is 0.
func (t Tuning) filled() Tuning {
	fill(&t.EntryBytes, entryBytesMax)
	fill(&t.EntryCommands, store.MaxCommands)
	fill(&t.ProposeBytes, proposeBytesMax)
	fill(&t.GatherDelay, gatherDelay)
	fill(&t.NoticeDelay, noticeDelay)
	fill(&t.MessageBytes, messageBytesMax)
	fill(&t.InflightMessages, inflightMessages)
	fill(&t.InflightBytes, max(inflightBytes, t.MessageBytes))
	fill(&t.UncommittedBytes, uncommittedBytesMax)
	fill(&t.ApplyBytes, applyBytesMax)
	fill(&t.Queue, QueueMax)
	fill(&t.QueueBytes, queueBytesMax)
	fill(&t.Reads, ReadsMax)
	fill(&t.ElectionTicks, electionTicks)
	fill(&t.HeartbeatTicks, heartbeatTicks)
	fill(&t.QuorumSilence, quorumSilence)
	fill(&t.DiskSilence, diskSilence)
	return t
}

func fill[T int | int64 | uint64](v *T, shipped T) {
	if *v == 0 {
		*v = shipped
	}
}
