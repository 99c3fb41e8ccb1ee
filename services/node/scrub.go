package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/store"
)

// scrubBytesPerSecond is how fast a scrub reads at most: slow enough to be
// hardly noticed beside the node's work.
const scrubBytesPerSecond = 32 << 20

// scrub reads all data every interval and verifies its checksums, so that
// damage is found while the other nodes can still repair it. The nodes take
// turns: each has its own share of the interval, by the clock on the wall.
func (n *Node) scrub(ctx context.Context, st *badgerstore.Store) {
	interval := n.cfg.ScrubInterval
	if interval == 0 {
		return
	}
	var ids []uint64
	for _, p := range n.cfg.Peers {
		ids = append(ids, p.ID())
	}
	slices.Sort(ids)
	turn := interval * time.Duration(slices.Index(ids, n.id)) / time.Duration(len(ids))
	for {
		timer := time.NewTimer(untilTurn(time.Now(), interval, turn))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		began := time.Now()
		bytes, err := n.scrubOnce(ctx, st)
		switch {
		case ctx.Err() != nil:
			return
		case isDamage(err) || err != nil && isDiskError(err):
			n.fail(fmt.Errorf("found by the scrub: %w", err))
			return
		case err != nil && !errors.Is(err, store.ErrClosed):
			n.log.Warn("the scrub was not finished; the next one is in its turn", "error", err)
		case err == nil:
			n.log.Info("scrubbed: all checksums match", "bytes", bytes, "took", time.Since(began))
		}
	}
}

// untilTurn is how long it is until a time that is turn past a multiple of
// interval; never 0.
func untilTurn(now time.Time, interval, turn time.Duration) time.Duration {
	wait := turn - time.Duration(now.UnixNano())%interval
	if wait <= 0 {
		wait += interval
	}
	return wait
}

// scrubOnce verifies the files' checksums, then those of every version in the
// state, and returns how many bytes it has read.
func (n *Node) scrubOnce(ctx context.Context, st *badgerstore.Store) (bytes int64, err error) {
	began := time.Now()
	pace := func(read int) error {
		bytes += int64(read)
		ahead := time.Duration(float64(bytes)/scrubBytesPerSecond*float64(time.Second)) - time.Since(began)
		if ahead < 10*time.Millisecond {
			return ctx.Err()
		}
		timer := time.NewTimer(ahead)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := st.Scrub(pace); err != nil {
		return bytes, err
	}
	// Reading a version verifies its own checksum.
	view, err := st.State().Read(n.published().TS)
	if err != nil {
		return bytes, err
	}
	defer view.Close()
	err = view.Versions(func(m store.Mutation) error { return pace(len(m.Key) + len(m.Value)) })
	return bytes, err
}
