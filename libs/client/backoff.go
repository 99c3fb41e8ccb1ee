package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between attempts grow from firstPause, doubling, up to a limit that
// depends on what failed: a new leader is there within a fraction of a second,
// a queue that is full wants to be left alone.
const (
	firstPause    = 5 * time.Millisecond
	noLeaderPause = 80 * time.Millisecond
	busyPause     = time.Second
)

// backoff is the pauses of one call. Each is random between its half and its
// whole, so that those who failed together do not come back together.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: firstPause} }

func (b *backoff) duration(limit time.Duration) time.Duration {
	d := min(b.next, limit)
	b.next = min(b.next*2, busyPause)
	return d/2 + rand.N(d/2+1)
}

// sleep pauses; false if ctx ended meanwhile.
func (b *backoff) sleep(ctx context.Context, limit time.Duration) bool {
	t := time.NewTimer(b.duration(limit))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
