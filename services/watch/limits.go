package watch

import (
	"time"

	"github.com/kvorum/kvorum/libs/api"
)

const (
	// renewEvery is how often the grant is asked for, retryAfter how soon again
	// when nobody answered. There is one request at a time: with a second one
	// the leader would take the replica for one that does not know its epoch.
	// An answer has grantTimeout, or, where that was too short, grantPatience.
	renewEvery    = 150 * time.Millisecond
	retryAfter    = 50 * time.Millisecond
	grantTimeout  = 250 * time.Millisecond
	grantPatience = 450 * time.Millisecond
	// beatEvery is how often tails and progress are published.
	beatEvery = 250 * time.Millisecond
	// pagesMax bounds the pages of the feed that wait to be added.
	pagesMax = 2
	// progressMax bounds the waiting progress messages of another holder; those
	// beyond are dropped, the next one says it all.
	progressMax = 16

	// RequestsMax bounds the requests that are answered at the same time:
	// overloaded past it.
	RequestsMax = 256
	// pendingRequests and pendingBytes bound what nats.go holds for a
	// subscription before requests are lost.
	pendingRequests = 4096
	pendingBytes    = 16 << 20
	// HistoryEvents and HistoryBytes bound a page of the history.
	HistoryEvents = 10_000
	HistoryBytes  = api.MaxAnswerBytes
	// answerBytesMax leaves room for headers in a message of the bus.
	answerBytesMax = api.MaxPayloadBytes - 64<<10
	// storeTimeout bounds how long a node may take for older history, and
	// storeAttempts how many nodes are asked.
	storeTimeout  = 2 * time.Second
	storeAttempts = 2
	// storeWait is how long a node that is behind may wait for the events.
	storeWait = 200 * time.Millisecond

	// stopWithin bounds each step of stopping, restartAfter is the pause after a
	// failed replica.
	stopWithin   = 500 * time.Millisecond
	restartAfter = time.Second
)
