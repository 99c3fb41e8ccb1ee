package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// readers serve reads from published states, several at a time.
type readers struct {
	work    chan readBatch
	current func() *mvcc.Published

	mu      sync.Mutex
	waiting []waitingReads // until the applier has come so far
}

type readBatch []reader

// waitingReads wait for an index or, where index is 0, for a revision.
type waitingReads struct {
	since    time.Time
	index    uint64
	revision int64
	reads    []replica.Read
}

func (w waitingReads) ready(p *mvcc.Published) bool {
	return p.Index >= w.index && p.Revision >= w.revision
}

func newReaders(current func() *mvcc.Published) *readers {
	return &readers{work: make(chan readBatch, readersQueueMax), current: current}
}

// run serves until ctx ends.
func (r *readers) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case batch := <-r.work:
			p := r.current()
			for _, req := range batch {
				req.run(p)
			}
		}
	}
}

// release serves reads that a quorum round confirmed, now or when the state
// has applied their index.
func (r *readers) release(rel replica.ReleasedReads) {
	r.await(waitingReads{since: time.Now(), index: rel.Index, reads: rel.Reads})
}

// await serves reads as soon as the state is as new as w says.
func (r *readers) await(w waitingReads) {
	r.mu.Lock()
	if !w.ready(r.current()) {
		r.waiting = append(r.waiting, w)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	r.serve(w.reads)
}

// published serves what waited for the state that was just published.
func (r *readers) published(p *mvcc.Published) {
	r.mu.Lock()
	kept := r.waiting[:0]
	var ready []waitingReads
	for _, w := range r.waiting {
		if w.ready(p) {
			ready = append(ready, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
	r.mu.Unlock()
	for _, w := range ready {
		r.serve(w.reads)
	}
}

// stuck reports whether a read that a quorum has confirmed waits for the state
// longer than a state that keeps up would take.
func (r *readers) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.waiting, func(w waitingReads) bool {
		return w.index > 0 && time.Since(w.since) > behindAfter
	})
}

// expire refuses reads whose state did not come in time.
func (r *readers) expire(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.waiting[:0]
	for _, w := range r.waiting {
		var left []replica.Read
		for _, rd := range w.reads {
			if rd.Deadline < now {
				rd.Tag.(reader).fail(api.Errorf(api.KindTimeout, "this node has not caught up in time: try again, or ask another node"))
			} else {
				left = append(left, rd)
			}
		}
		if w.reads = left; len(left) > 0 {
			kept = append(kept, w)
		}
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
}

// serve gives reads to the readers in batches.
func (r *readers) serve(reads []replica.Read) {
	for len(reads) > 0 {
		n := min(len(reads), readBatchMax)
		batch := make(readBatch, n)
		for i, rd := range reads[:n] {
			batch[i] = rd.Tag.(reader)
		}
		reads = reads[n:]
		select {
		case r.work <- batch:
		default:
			for _, req := range batch {
				req.fail(api.Errorf(api.KindOverloaded, "too many reads wait on this node: try again later"))
			}
		}
	}
}
