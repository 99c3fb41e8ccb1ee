package replica

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// disk watches the synced appends that are under way. A leader whose disk hangs is
// worse than none: its heartbeats keep the others from electing a better one.
type disk struct {
	hard        *raftpb.HardState // as last handed out to be written
	outstanding int
	since       int64 // when the oldest outstanding one began, about
	handedOver  bool
	silent      bool // neither ticks nor sends until the disk answers
}

func (d *disk) begin(now int64) {
	if d.outstanding == 0 {
		d.since = now
	}
	d.outstanding++
}

func (d *disk) done(now int64) {
	d.outstanding--
	d.since = now
	d.handedOver, d.silent = false, false
}

func (r *Replica) checkDisk() {
	d := &r.disk
	if d.outstanding == 0 || !r.role.Leading || r.now-d.since < r.cfg.Tuning.DiskSilence {
		return
	}
	if !d.handedOver {
		d.handedOver = true
		r.cfg.Logger.Warningf("the disk has not answered for %d ms: handing the leadership over", (r.now-d.since)/millisecond)
		r.HandOver(0)
		return
	}
	if !d.silent && r.now-d.since >= 2*r.cfg.Tuning.DiskSilence {
		d.silent = true
		r.cfg.Logger.Warningf("the disk has not answered for %d ms: falling silent so that another node can lead", (r.now-d.since)/millisecond)
	}
}

// quorum remembers when each peer was heard last.
type quorum struct {
	self   uint64
	voters []uint64
	last   map[uint64]int64
}

func newQuorum(self uint64, voters []uint64) quorum {
	return quorum{self: self, voters: voters, last: map[uint64]int64{}}
}

func (q *quorum) heard(id uint64, now int64) { q.last[id] = now }

// restart counts every voter as heard now: a new leader has just won a quorum.
func (q *quorum) restart(now int64) {
	for _, id := range q.voters {
		q.last[id] = now
	}
}

// lastHeard is the newest time at which a quorum, this node included, had been
// heard.
func (q *quorum) lastHeard(now int64) int64 {
	times := make([]int64, 0, 7)
	for _, id := range q.voters {
		if id == q.self {
			times = append(times, now)
		} else {
			times = append(times, q.last[id])
		}
	}
	slices.Sort(times)
	return times[(len(times)-1)/2]
}

// campaign is what a follower does about a leader that is gone.
type campaign struct {
	next  int64 // when to campaign, 0: not at all
	until int64
}

// granted puts a campaign off for the node that was just given a vote.
func (c *campaign) granted(m *raftpb.Message, now int64) {
	if c.next != 0 && m.GetType() == raftpb.MsgVoteResp && !m.GetReject() {
		c.next = now + 4*campaignStep
	}
}

// PeerLost takes the hint that a peer died. If it is the leader, this node
// forgets it, so that it may vote for another, and campaigns: first the lowest
// id among the survivors, the next one campaignStep later, since two that
// campaign together split the vote. A wrong hint does no harm: the leader's
// next heartbeat ends it.
func (r *Replica) PeerLost(id uint64) {
	if id == r.cfg.ID || r.cfg.Replaced || r.rn.BasicStatus().Lead != id {
		return
	}
	if err := r.rn.ForgetLeader(); err != nil {
		return
	}
	r.campaign = campaign{next: r.now + 1 + r.rank(id)*campaignStep, until: r.now + campaignFor}
}

// checkLeader takes a leader that was silent for ElectionTicks for lost: one that
// hangs keeps its connections open. Raft's own timeout comes up to as much
// later, and at random. Ticks are counted and not time, so that a node that slept
// itself does not blame the leader.
func (r *Replica) checkLeader() {
	if r.silence++; r.silence >= r.cfg.Tuning.ElectionTicks {
		r.silence = 0
		if lead := r.rn.BasicStatus().Lead; lead != 0 {
			r.PeerLost(lead)
		}
	}
}

// rank is this node's place by id among the voters other than one.
func (r *Replica) rank(without uint64) (rank int64) {
	for _, v := range r.voters {
		if v != without && v < r.cfg.ID {
			rank++
		}
	}
	return rank
}

func (r *Replica) maybeCampaign() {
	c := &r.campaign
	if c.next == 0 {
		return
	}
	st := r.rn.BasicStatus()
	if st.Lead != 0 || r.now > c.until || !slices.Contains(r.voters, r.cfg.ID) {
		*c = campaign{}
		return
	}
	if r.now < c.next {
		return
	}
	c.next = r.now + campaignStep + int64(r.cfg.Rand()%uint64(campaignStep))
	if err := r.rn.Campaign(); err != nil {
		r.cfg.Logger.Warningf("campaign: %v", err)
	}
}

// bestFollower is the voter whose log is longest, except one; 0 on a node that
// does not lead.
func (r *Replica) bestFollower(except uint64) uint64 {
	if r.rn.BasicStatus().RaftState != raft.StateLeader {
		return 0
	}
	var best, match uint64
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id != r.cfg.ID && id != except && !pr.IsLearner && pr.RecentActive && (best == 0 || pr.Match > match || pr.Match == match && id < best) {
			best, match = id, pr.Match
		}
	})
	return best
}
