package node

import "time"

const (
	// requestTimeout is how long a client waits for an answer at most: a write
	// that was proposed then has an unknown outcome.
	requestTimeout = 4 * time.Second
	// holdTimeout is how long a request waits for a leader.
	holdTimeout = 2 * time.Second
	// behindAfter is how long a confirmed read waits for the state before the
	// node counts as behind, probeEvery how often it then looks whether it
	// still is.
	behindAfter = 300 * time.Millisecond
	probeEvery  = 500 * time.Millisecond
	// heldMax and heldBytesMax bound the requests that wait for a leader.
	heldMax      = 4096
	heldBytesMax = 16 << 20
	// proposedBytesMax bounds the commands that wait for the consensus goroutine.
	proposedBytesMax = 64 << 20
	// passingMax bounds the requests that were passed on and not answered.
	passingMax = 1024

	// subscriptionPendingMax* bound what waits in a subscription for its
	// handler; past them nats.go drops, and the client's timeout is the answer.
	subscriptionPendingMessages = 65_536
	subscriptionPendingBytes    = 128 << 20

	// readersCount is how many reads are served side by side, readersQueueMax
	// how many batches may wait for them, readBatchMax how many reads a batch
	// holds.
	readersCount    = 8
	readersQueueMax = 4096
	readBatchMax    = 16

	// appendBatchBytes is where the appender stops joining tasks to one write.
	appendBatchBytes = 4 << 20
	// applyBatchEntries is where the applier stops joining tasks to one write.
	applyBatchEntries = 1024

	// recentBytesMax bounds the events kept in memory for the feed.
	recentBytesMax = 16 << 20
	// pollsMax bounds the feed requests that wait, pollWaitMax for how long,
	// pollBytesMax what one answer carries.
	pollsMax     = 1024
	pollWaitMax  = 30 * time.Second
	pollBytesMax = 1 << 20

	// checkpointEvery and checkpointBytes say when the state is made durable.
	checkpointEvery = 2 * time.Second
	checkpointBytes = 16 << 20
	// keepEntries are kept in every node's log behind the checkpoint.
	keepEntries = 10_000
	// trimBatch is how many change records are removed at a time.
	trimBatch = 2000

	// stopTimeout bounds an orderly stop.
	stopTimeout = 5 * time.Second
)
