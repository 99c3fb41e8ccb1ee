package replica

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"

	"github.com/kvorum/kvorum/libs/core/mutant"
)

// reads are the linearizable reads of this node: those that wait for a round,
// and the rounds under way. A read joins only a round that was not yet sent.
type reads struct {
	next    uint64 // number of the next round; starts at the nonce
	waiting []Read
	rounds  []round
}

type round struct {
	number uint64
	began  int64
	reads  []Read
}

func newReads(nonce uint64) reads { return reads{next: nonce} }

// Read asks for a quorum round. The read comes back in Effects.Reads, or in
// Effects.RefusedReads when its deadline passes or too many wait.
func (r *Replica) Read(rd Read) {
	if rd.Term != 0 && mutant.Is(mutant.RenewWithoutQuorum) {
		r.effects.Reads = append(r.effects.Reads, ReleasedReads{0, []Read{rd}})
		return
	}
	if len(r.reads.waiting) >= r.cfg.Tuning.Reads {
		r.effects.RefusedReads = append(r.effects.RefusedReads, rd)
		return
	}
	r.reads.waiting = append(r.reads.waiting, rd)
}

// askReads begins a round for the reads that wait, and again for those whose
// round raft has dropped, which it does without a word.
func (r *Replica) askReads() {
	q := &r.reads
	for len(q.rounds) > 0 && r.now-q.rounds[0].began > readRetryNanos {
		q.waiting = append(q.rounds[0].reads, q.waiting...)
		q.rounds = q.rounds[1:]
	}
	if len(q.waiting) == 0 || len(q.rounds) >= roundsMax {
		return
	}
	if mutant.Is(mutant.ReadWithoutQuorum) && r.role.Leading ||
		mutant.Is(mutant.ReadBeforeOwnTerm) && r.role.Leading && r.applied.term != r.role.Term {
		r.effects.Reads = append(r.effects.Reads, ReleasedReads{r.Commit(), q.waiting})
		q.waiting = nil
		return
	}
	if r.role.Leader == 0 || r.role.Leading && r.applied.term != r.role.Term {
		return
	}
	rd := round{number: q.next, began: r.now, reads: q.waiting}
	q.next++
	q.waiting = nil
	q.rounds = append(q.rounds, rd)
	r.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, rd.number))
}

// releaseReads answers the round that a read state belongs to. One that is not
// known was given up or belongs to an earlier life.
func (r *Replica) releaseReads(rs raft.ReadState) {
	if len(rs.RequestCtx) != 8 {
		return
	}
	number := binary.BigEndian.Uint64(rs.RequestCtx)
	for i, rd := range r.reads.rounds {
		if rd.number == number {
			r.reads.rounds = append(r.reads.rounds[:i:i], r.reads.rounds[i+1:]...)
			r.effects.Reads = append(r.effects.Reads, ReleasedReads{rs.Index, rd.reads})
			return
		}
	}
}

// refuseBound takes the reads of a leadership that is over out of what was just
// released: the round was confirmed by another leader, or for another term.
func (r *Replica) refuseBound() {
	for i := range r.effects.Reads {
		rel := &r.effects.Reads[i]
		kept := rel.Reads[:0]
		for _, rd := range rel.Reads {
			if rd.Term != 0 && (!r.role.Leading || rd.Term != r.role.Term) {
				r.effects.RefusedReads = append(r.effects.RefusedReads, rd)
			} else {
				kept = append(kept, rd)
			}
		}
		rel.Reads = kept
	}
}

func (r *Replica) expireReads() {
	q := &r.reads
	q.waiting = r.refuseOld(q.waiting)
	for i := range q.rounds {
		q.rounds[i].reads = r.refuseOld(q.rounds[i].reads)
	}
}

func (r *Replica) refuseOld(reads []Read) []Read {
	kept := reads[:0:0]
	for _, rd := range reads {
		if rd.Deadline < r.now {
			r.effects.RefusedReads = append(r.effects.RefusedReads, rd)
		} else {
			kept = append(kept, rd)
		}
	}
	return kept
}
