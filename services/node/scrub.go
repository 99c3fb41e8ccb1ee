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

const (
	// scrubBytesPerSecond is how fast a scrub reads at most: slow enough to be
	// hardly noticed beside the node's work.
	scrubBytesPerSecond = 32 << 20
	// verifyBytesPerSecond is the same of the verification behind a start, which
	// begins verifyDelay after it: what is asked first then costs nothing more.
	verifyBytesPerSecond = 64 << 20
	verifyDelay          = 2 * time.Second
)

// scrub reads all data every interval and verifies its checksums, so that
// damage is found while the other nodes can still repair it. The nodes take
// turns: each has its own share of the interval, by the clock on the wall. What
// the start left unverified comes first.
func (n *Node) scrub(ctx context.Context, st *badgerstore.Store) {
	if st.Unverified() && !n.verify(ctx, verifyDelay, "the verification behind the start", func() (int64, error) {
		p := pacer{ctx: ctx, perSecond: verifyBytesPerSecond, began: time.Now()}
		err := st.Scrub(p.pace)
		return p.bytes, err
	}) {
		return
	}
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
	for n.verify(ctx, untilTurn(time.Now(), interval, turn), "the scrub", func() (int64, error) { return n.scrubOnce(ctx, st) }) {
	}
}

// verify runs a verification after a delay; false ends all of them.
func (n *Node) verify(ctx context.Context, delay time.Duration, what string, run func() (bytes int64, err error)) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	began := time.Now()
	bytes, err := run()
	switch {
	case ctx.Err() != nil:
		return false
	case isDamage(err) || err != nil && isDiskError(err):
		n.fail(fmt.Errorf("found by %s: %w", what, err))
		return false
	case err != nil && !errors.Is(err, store.ErrClosed):
		n.log.Warn(what+" was not finished; the next one is in its turn", "error", err)
	case err == nil:
		n.log.Info(what+" is done: all checksums match", "bytes", bytes, "took", time.Since(began))
	}
	return true
}

// pacer holds up whoever reads faster than perSecond.
type pacer struct {
	ctx              context.Context
	perSecond, bytes int64
	began            time.Time
}

func (p *pacer) pace(read int) error {
	p.bytes += int64(read)
	ahead := time.Duration(float64(p.bytes)/float64(p.perSecond)*float64(time.Second)) - time.Since(p.began)
	if ahead < 10*time.Millisecond {
		return p.ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
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
func (n *Node) scrubOnce(ctx context.Context, st *badgerstore.Store) (int64, error) {
	p := pacer{ctx: ctx, perSecond: scrubBytesPerSecond, began: time.Now()}
	if err := st.Scrub(p.pace); err != nil {
		return p.bytes, err
	}
	// Reading a version verifies its own checksum.
	view, err := st.State().Read(n.published().TS)
	if err != nil {
		return p.bytes, err
	}
	defer view.Close()
	err = view.Versions(func(m store.Mutation) error { return p.pace(len(m.Key) + len(m.Value)) })
	return p.bytes, err
}
