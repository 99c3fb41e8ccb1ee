package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// Config describes a replica.
type Config struct {
	ID uint64
	// Nonce differs on every start of a node: it keeps the answers to an
	// earlier life's reads and the entries it proposed apart from this one's.
	Nonce uint64
	Log   store.Log
	// Applied is the index as of which the state machine was opened.
	Applied uint64
	// Replaced: the node has lost an earlier log of its own, and with it votes
	// and entries that it had confirmed. It takes no part in elections until
	// Vouch, and listens to no term below MinTerm: that of a leader which was
	// elected without it and knows nothing of its earlier log.
	Replaced bool
	// MinTerm is also the last term in which the node gives no vote, since it
	// may have given one before.
	MinTerm uint64
	// Rand draws a random number; it need not be secret.
	Rand func() uint64
	// WallClock is the time written into entries, nanoseconds since 1970.
	WallClock func() int64
	Logger    raft.Logger
	Tuning    Tuning
}

// Replica is one node's consensus. See the package's documentation.
type Replica struct {
	cfg    Config
	rn     *raft.RawNode
	voters []uint64

	now      int64
	nextTick int64
	silence  int     // ticks since a leader of this term was heard
	applied  entryID // last entry whose effects are readable

	proposals proposals
	notices   notices
	reads     reads
	disk      disk
	quorum    quorum
	campaign  campaign
	sending   *raftpb.Message // the snapshot under way to a follower
	offered   bool            // raft has asked for one since the last Ready

	role    Role
	effects Effects
}

type entryID struct{ index, term uint64 }

// New starts a replica at a time. It fails where the log cannot be read or does
// not know the node.
func New(cfg Config, now int64) (*Replica, error) {
	hard, conf, err := cfg.Log.InitialState()
	if err != nil {
		return nil, fmt.Errorf("replica: reading the log: %w", err)
	}
	cfg.Tuning = cfg.Tuning.filled()
	r := &Replica{cfg: cfg, voters: conf.GetVoters(), now: now, nextTick: now + TickNanos}
	r.proposals = newProposals(cfg)
	r.reads = newReads(cfg.Nonce)
	r.quorum = newQuorum(cfg.ID, r.voters)
	term, err := cfg.Log.Term(cfg.Applied)
	if err != nil {
		return nil, fmt.Errorf("replica: term of the applied index %d: %w", cfg.Applied, err)
	}
	r.applied = entryID{cfg.Applied, term}
	first, err := cfg.Log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("replica: reading the log: %w", err)
	}
	if commit := max(hard.GetCommit(), first-1); commit < cfg.Applied {
		return nil, fmt.Errorf("replica: the state is at index %d, beyond the commit index %d of the log", cfg.Applied, commit)
	}
	r.rn, err = raft.NewRawNode(&raft.Config{
		ID:                        cfg.ID,
		ElectionTick:              cfg.Tuning.ElectionTicks,
		HeartbeatTick:             cfg.Tuning.HeartbeatTicks,
		Storage:                   snapshotOffer{cfg.Log, r},
		Applied:                   cfg.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             cfg.Tuning.MessageBytes,
		MaxCommittedSizePerReady:  cfg.Tuning.ApplyBytes,
		MaxUncommittedEntriesSize: cfg.Tuning.UncommittedBytes,
		MaxInflightMsgs:           cfg.Tuning.InflightMessages,
		MaxInflightBytes:          cfg.Tuning.InflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    cfg.Logger,
		DisableProposalForwarding: true,
	})
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	r.disk.hard = hard
	if !cfg.Replaced {
		r.campaign = campaign{next: now + startDelay + r.rank(0)*campaignStep, until: now + startDelay + campaignFor}
	}
	return r, nil
}

// Advance moves time forward to now; going back does nothing. After a pause the
// clock does not catch up: a tick that is late counts once.
func (r *Replica) Advance(now int64) {
	if now <= r.now {
		return
	}
	r.now = now
	r.checkDisk()
	r.sendNotices()
	if !r.disk.silent {
		r.maybeCampaign()
		if now >= r.nextTick && !r.cfg.Replaced {
			r.checkLeader()
			r.rn.Tick()
		}
	}
	if now >= r.nextTick {
		r.nextTick = max(r.nextTick+TickNanos, now+TickNanos/2)
		r.expire()
	}
}

// Wake is when Advance is due again.
func (r *Replica) Wake() int64 {
	at := r.nextTick
	if r.campaign.next != 0 && !r.disk.silent {
		at = min(at, r.campaign.next)
	}
	if len(r.notices.held) > 0 {
		at = min(at, r.notices.due)
	}
	if due := r.proposals.due(&r.cfg.Tuning); due != 0 && r.disk.outstanding == 0 {
		at = min(at, due)
	}
	return at
}

// Busy reports whether proposals, and whether reads, that come in now would wait
// for what is under way: their owner need not hurry to bring them. What they wait
// for ends with a message or an append, or is not worth more than Patience.
func (r *Replica) Busy() (proposals, reads bool) {
	return len(r.proposals.proposed) > 0, len(r.reads.rounds) >= roundsMax
}

// Receive takes messages from a peer. Messages that claim another sender or
// that have no business on the network are dropped.
func (r *Replica) Receive(from uint64, msgs []*raftpb.Message) {
	r.quorum.heard(from, r.now)
	for _, m := range msgs {
		t := m.GetType()
		if m.GetFrom() != from || m.GetTo() != r.cfg.ID || raft.IsLocalMsg(t) ||
			t == raftpb.MsgProp || t == raftpb.MsgSnap || r.deaf(m) {
			continue
		}
		if (t == raftpb.MsgHeartbeat || t == raftpb.MsgApp) && m.GetTerm() >= r.role.Term {
			r.silence = 0
		}
		r.step(m)
	}
}

// deaf tells the messages that a node which was replaced does not listen to.
func (r *Replica) deaf(m *raftpb.Message) bool {
	switch m.GetType() {
	case raftpb.MsgVote:
		return r.cfg.Replaced || m.GetTerm() <= r.cfg.MinTerm
	case raftpb.MsgPreVote, raftpb.MsgTimeoutNow:
		return r.cfg.Replaced
	}
	return r.cfg.Replaced && m.GetTerm() < r.cfg.MinTerm
}

// Vouch ends the state of a replaced node: it has again all that it may have
// confirmed in its earlier life, because it has applied what a leader elected
// without it had committed after it came back.
func (r *Replica) Vouch() { r.cfg.Replaced, r.cfg.MinTerm = false, r.role.Term }

// SnapshotReceived takes the message of a snapshot whose state the owner has
// received and verified. If raft wants it, an Append with that snapshot
// follows; if it is outdated, nothing does.
func (r *Replica) SnapshotReceived(m *raftpb.Message) {
	if !r.deaf(m) {
		r.step(m)
	}
}

// SnapshotSent tells how the transfer of a snapshot to a follower ended.
func (r *Replica) SnapshotSent(to uint64, ok bool) {
	if r.sending.GetTo() == to {
		r.sending = nil
	}
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	r.rn.ReportSnapshot(to, status)
}

// Unreachable tells that messages to a peer were dropped.
func (r *Replica) Unreachable(id uint64) { r.rn.ReportUnreachable(id) }

// Appended tells that t is durable.
func (r *Replica) Appended(t *AppendTask) {
	if t.Sync {
		r.disk.done(r.now)
	}
	if t.Snapshot != nil {
		r.applied = entryID{t.Snapshot.GetIndex(), t.Snapshot.GetTerm()}
	}
	for _, m := range t.local {
		r.step(m)
	}
}

// Applied tells that the effects of t are readable.
func (r *Replica) Applied(t *ApplyTask) {
	last := t.Entries[len(t.Entries)-1].Entry
	if last.GetIndex() > r.applied.index {
		r.applied = entryID{last.GetIndex(), last.GetTerm()}
	}
	for _, m := range t.response {
		r.step(m)
	}
}

// HandOver asks raft to make the most up-to-date follower the leader, though not
// the node `except`. It does nothing on a node that does not lead.
func (r *Replica) HandOver(except uint64) {
	if to := r.bestFollower(except); to != 0 {
		r.rn.TransferLeader(to)
	}
}

// step hands a message to raft. Errors tell that raft had no use for it.
func (r *Replica) step(m *raftpb.Message) {
	err := r.rn.Step(m)
	if err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) && !errors.Is(err, raft.ErrProposalDropped) {
		r.cfg.Logger.Warningf("dropped %s from %x: %v", m.GetType(), m.GetFrom(), err)
	}
}

// Effects returns what is to be done since the last call and forgets it.
func (r *Replica) Effects() Effects {
	r.updateRole()
	r.propose()
	r.askReads()
	for r.rn.HasReady() {
		r.take(r.rn.Ready())
		if r.effects.Append != nil || r.effects.Apply != nil {
			break // one of each a step: they are handed out in order
		}
	}
	r.propose() // what waited for the entries that are committed
	r.updateRole()
	r.refuseBound()
	e := r.effects
	r.effects = Effects{}
	return e
}

// Pending reports whether another call of Effects has something to tell already.
func (r *Replica) Pending() bool { return r.rn.HasReady() }

// take sorts the messages of a Ready into effects.
func (r *Replica) take(rd raft.Ready) {
	r.offered = false
	for _, rs := range rd.ReadStates {
		r.releaseReads(rs)
	}
	for _, m := range rd.Messages {
		switch {
		case m.GetTo() == raft.LocalAppendThread:
			r.takeAppend(m)
		case m.GetTo() == raft.LocalApplyThread:
			r.takeApply(m)
		case m.GetType() == raftpb.MsgSnap:
			r.sending = m
			r.effects.Snapshots = append(r.effects.Snapshots, m)
		case !r.disk.silent:
			r.post(m)
		}
	}
}

func (r *Replica) takeAppend(m *raftpb.Message) {
	t := &AppendTask{Entries: m.GetEntries(), Sync: len(m.GetEntries()) > 0 || m.Snapshot != nil}
	if m.Term != nil {
		t.Hard = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
		t.Sync = t.Sync || raft.MustSync(t.Hard, r.disk.hard, 0) && !mutant.Is(mutant.VoteNotSynced)
		r.disk.hard = t.Hard
	}
	if m.Snapshot != nil {
		t.Snapshot = m.GetSnapshot().GetMetadata()
		r.voters = t.Snapshot.GetConfState().GetVoters()
		r.quorum = newQuorum(r.cfg.ID, r.voters)
	}
	for _, resp := range m.GetResponses() {
		if resp.GetTo() == r.cfg.ID {
			t.local = append(t.local, resp)
		} else {
			t.Remote = append(t.Remote, resp)
			r.campaign.granted(resp, r.now)
		}
	}
	if mutant.Is(mutant.AckBeforeSync) {
		r.effects.Send, t.Remote = append(r.effects.Send, t.Remote...), nil
	}
	if t.Sync {
		r.disk.begin(r.now)
	}
	r.effects.Append = t
}

func (r *Replica) takeApply(m *raftpb.Message) {
	t := &ApplyTask{Entries: make([]Committed, len(m.GetEntries())), response: m.GetResponses()}
	for i, e := range m.GetEntries() {
		t.Entries[i] = r.proposals.committed(e)
	}
	r.effects.Expired = append(r.effects.Expired, r.proposals.takeLost()...)
	r.effects.Apply = t
}

// updateRole works out what this node may answer now.
func (r *Replica) updateRole() {
	st := r.rn.BasicStatus()
	role := Role{Term: st.GetTerm(), Leader: st.Lead, Leading: st.RaftState == raft.StateLeader}
	if role.Leading && !r.role.Leading {
		r.quorum.restart(r.now)
	}
	role.Serving = role.Leading && r.applied.term == role.Term && !r.disk.silent &&
		st.LeadTransferee == 0 && r.now-r.quorum.lastHeard(r.now) <= r.cfg.Tuning.QuorumSilence
	if role != r.role {
		r.role = role
		r.effects.Role = &role
	}
}

// Commit is the index up to which the log is known to be committed.
func (r *Replica) Commit() uint64 { return r.rn.BasicStatus().GetCommit() }
