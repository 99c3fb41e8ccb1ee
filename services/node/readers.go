package node

import (
	"context"
	"sync"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// readers serve reads from published states, several at a time.
type readers struct {
	work    chan readBatch
	current func() *mvcc.Published
	clock   func() int64

	mu      sync.Mutex
	waiting member.Waiting // until the applier has come so far
}

type readBatch []reader

func newReaders(current func() *mvcc.Published, clock func() int64) *readers {
	return &readers{work: make(chan readBatch, readersQueueMax), current: current, clock: clock}
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
	r.await(member.Awaited{Since: r.clock(), Index: rel.Index, Reads: rel.Reads})
}

// await serves reads as soon as the state is as new as a says.
func (r *readers) await(a member.Awaited) {
	r.mu.Lock()
	ready := r.waiting.Await(a, r.current())
	r.mu.Unlock()
	if ready {
		r.serve(a.Reads)
	}
}

// published serves what waited for the state that was just published.
func (r *readers) published(p *mvcc.Published) {
	r.mu.Lock()
	ready := r.waiting.Published(p)
	r.mu.Unlock()
	for _, reads := range ready {
		r.serve(reads)
	}
}

// stuck reports whether a read that a quorum has confirmed waits for the state
// longer than a state that keeps up would take.
func (r *readers) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting.Late(r.clock() - int64(behindAfter))
}

// expire refuses reads whose state did not come in time.
func (r *readers) expire(now int64) {
	r.mu.Lock()
	over := r.waiting.Expire(now)
	r.mu.Unlock()
	for _, rd := range over {
		rd.Tag.(reader).fail(api.Errorf(api.KindTimeout, "this node has not caught up in time: try again, or ask another node"))
	}
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
