package watch

import (
	"time"

	"github.com/kvorum/kvorum/libs/api"
)

const (
	// pagesMax bounds the pages of the feed that wait to be added.
	pagesMax = 2
	// progressMax bounds the waiting progress messages of another holder; those
	// beyond are dropped, the next one says it all.
	progressMax = 16

	// standbyPause is how long a standby waits between two pages with events.
	standbyPause = 100 * time.Millisecond

	// RequestsMax bounds the requests that are answered at the same time:
	// overloaded past it.
	RequestsMax = 256
	// pendingRequests and pendingBytes bound what nats.go holds for a
	// subscription before requests are lost.
	pendingRequests = 4096
	pendingBytes    = 16 << 20
	// answerBytesMax leaves room for headers in a message of the bus.
	answerBytesMax = api.MaxPayloadBytes - 64<<10
	// storeTimeout bounds how long the nodes may take for older history.
	storeTimeout = 2 * time.Second

	// stopWithin bounds each step of stopping, restartAfter is the pause after a
	// failed replica.
	stopWithin   = 500 * time.Millisecond
	restartAfter = time.Second
)
