package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/command"
)

// proposals are a leader's: those that wait for an entry, and those behind the
// entries that it proposed, oldest first.
type proposals struct {
	origin   uint64
	sequence uint64
	wall     func() int64

	waiting      []Proposal
	waitingBytes int
	since        int64 // the first one waits
	proposed     []group
	lost         []Proposal
}

// group is what one proposed entry carries.
type group struct {
	sequence  uint64
	proposals []Proposal
}

// The sequence starts at a random place, so that an entry which an earlier
// life of this node proposed is not taken for one of this life.
func newProposals(cfg Config) proposals {
	return proposals{origin: cfg.ID, sequence: cfg.Nonce, wall: cfg.WallClock}
}

// Propose queues a command for the log. If it cannot even be queued, or if this
// node turns out not to lead, the next Effects refuses it.
func (r *Replica) Propose(p Proposal) {
	q, t := &r.proposals, &r.cfg.Tuning
	if len(q.waiting) >= t.Queue || q.waitingBytes+len(p.Command) > t.QueueBytes {
		r.effects.Refused = append(r.effects.Refused, Refusal{p, CauseOverloaded})
		return
	}
	if len(q.waiting) == 0 {
		q.since = r.now
	}
	q.waiting = append(q.waiting, p)
	q.waitingBytes += len(p.Command)
}

// propose turns waiting proposals into entries: at once while no other entry is
// under way, otherwise when those are committed, or have been waited for long
// enough and the disk is idle, so that all that came meanwhile shares an entry and
// a sync. One write takes ProposeBytes or little more: a disk that is only busy
// must answer within diskSilence.
func (r *Replica) propose() {
	q, t := &r.proposals, &r.cfg.Tuning
	if len(q.waiting) == 0 {
		return
	}
	if !r.role.Serving {
		r.refuseWaiting(CauseNoLeader)
		return
	}
	for size := 0; len(q.waiting) > 0 && size < t.ProposeBytes && (r.disk.outstanding == 0 && r.now >= q.due(t) || len(q.waiting) >= t.EntryCommands); {
		g, data := q.gather(t)
		size += len(data)
		if err := r.rn.Propose(data); err != nil {
			// Dropped by raft: too much is uncommitted, or the leadership is gone.
			cause := CauseOverloaded
			if r.rn.BasicStatus().Lead != r.cfg.ID {
				cause = CauseNoLeader
			}
			for _, p := range g.proposals {
				r.effects.Refused = append(r.effects.Refused, Refusal{p, cause})
			}
			continue
		}
		q.proposed = append(q.proposed, g)
	}
}

// due is when what waits may be proposed while the disk is idle: 0 for at once.
func (q *proposals) due(t *Tuning) int64 {
	if len(q.waiting) == 0 || len(q.proposed) == 0 {
		return 0
	}
	return q.since + t.GatherDelay
}

func (r *Replica) refuseWaiting(cause Cause) {
	for _, p := range r.proposals.waiting {
		r.effects.Refused = append(r.effects.Refused, Refusal{p, cause})
	}
	r.proposals.waiting, r.proposals.waitingBytes = nil, 0
}

// gather takes the next entry's commands off the queue and encodes the entry.
func (q *proposals) gather(t *Tuning) (group, []byte) {
	n, size := 0, 0
	commands := make([][]byte, 0, min(len(q.waiting), t.EntryCommands))
	for n < len(q.waiting) && n < t.EntryCommands {
		c := q.waiting[n].Command
		if n > 0 && size+len(c) > t.EntryBytes {
			break
		}
		commands = append(commands, c)
		size += len(c) + command.PrefixBytes
		q.waitingBytes -= len(c)
		n++
	}
	g := group{sequence: q.sequence, proposals: q.waiting[:n:n]}
	q.sequence++
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	h := command.Header{Origin: q.origin, Sequence: g.sequence, Time: q.wall(), Count: n}
	return g, command.Append(make([]byte, 0, command.HeaderBytes+size), h, commands)
}

// committed pairs a committed entry with its proposals, where they are this
// node's. Own entries commit in the order they were proposed, so older groups
// that were passed over have lost their place in the log.
func (q *proposals) committed(e *raftpb.Entry) Committed {
	c := Committed{Entry: e}
	if e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 {
		return c
	}
	h, err := command.DecodeHeader(e.GetData())
	if err != nil {
		return c // the state machine refuses the entry, and says why
	}
	c.Header = h
	if h.Origin != q.origin {
		return c
	}
	for i, g := range q.proposed {
		if g.sequence == h.Sequence {
			for _, passed := range q.proposed[:i] {
				q.lost = append(q.lost, passed.proposals...)
			}
			c.Proposals = g.proposals
			q.proposed = q.proposed[i+1:]
			break
		}
	}
	return c
}

func (q *proposals) takeLost() []Proposal {
	lost := q.lost
	q.lost = nil
	return lost
}

// expire gives up what is past its deadline, what was proposed by whole entries.
func (r *Replica) expire() {
	q := &r.proposals
	kept := q.waiting[:0:0]
	for _, p := range q.waiting {
		if p.Deadline < r.now {
			q.waitingBytes -= len(p.Command)
			r.effects.Refused = append(r.effects.Refused, Refusal{p, CauseNoLeader})
			continue
		}
		kept = append(kept, p)
	}
	q.waiting = kept
	for len(q.proposed) > 0 && q.proposed[0].expired(r.now) {
		r.effects.Expired = append(r.effects.Expired, q.proposed[0].proposals...)
		q.proposed = q.proposed[1:]
	}
	r.expireReads()
}

func (g group) expired(now int64) bool {
	for _, p := range g.proposals {
		if p.Deadline >= now {
			return false
		}
	}
	return true
}
