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
	// passingMax bounds the requests that were passed on and not answered,
	// waitsPassingMax those among them that may wait for long at the leader.
	passingMax      = 1024
	waitsPassingMax = 4096
	// leadsMax bounds the requests that wait for the leader to take them.
	leadsMax = 16_384

	// waitersMax bounds the requests that wait for a lock or watch a leader.
	waitersMax = 16_384
	// lockEventsMax bounds the changes of contenders that wait to be looked at.
	lockEventsMax = 100_000

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

	// recentBytesMax bounds the events kept in memory for the feed.
	recentBytesMax = 8 << 20
	// pollsMax bounds the feed requests that wait.
	pollsMax = 1024

	// checkpointEvery and checkpointBytes say when the state is made durable.
	checkpointEvery = 2 * time.Second
	checkpointBytes = 16 << 20
	// lookEvery is how often the disk's space and the reads that wait are looked
	// at, together, so that an idle node is woken once for both.
	lookEvery = 250 * time.Millisecond
	// keepEntries, or keepEntryBytes of them, are kept in every node's log behind
	// the checkpoint: a start reads them all, and the log's compactions write them
	// again and again.
	keepEntries    = 10_000
	keepEntryBytes = 32 << 20

	// stopTimeout bounds an orderly stop. A node that stops goes on answering
	// until nothing has come for quietFor, for lingerMax at most.
	stopTimeout = 5 * time.Second
	quietFor    = 50 * time.Millisecond
	lingerMax   = time.Second
)
