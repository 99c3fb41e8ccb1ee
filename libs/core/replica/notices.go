package replica

import "go.etcd.io/raft/v3/raftpb"

// notices are a leader's messages that tell a follower of a new commit index and
// of nothing else. They wait a little, since the next append carries the index as
// well; a read's quorum round tells of it by itself.
type notices struct {
	held []*raftpb.Message // at most one to each peer
	due  int64             // when they go out
}

// post sends a message, or keeps it as a notice.
func (r *Replica) post(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgApp {
		r.notices.drop(m.GetTo())
		if len(m.GetEntries()) == 0 {
			if len(r.notices.held) == 0 {
				r.notices.due = r.now + r.cfg.Tuning.NoticeDelay
			}
			r.notices.held = append(r.notices.held, m)
			return
		}
	}
	r.effects.Send = append(r.effects.Send, m)
}

// drop forgets the notice to a peer: a newer append goes there.
func (n *notices) drop(to uint64) {
	for i, m := range n.held {
		if m.GetTo() == to {
			n.held = append(n.held[:i], n.held[i+1:]...)
			return
		}
	}
}

// sendNotices sends the notices that are due.
func (r *Replica) sendNotices() {
	n := &r.notices
	if len(n.held) == 0 || r.now < n.due {
		return
	}
	if !r.disk.silent {
		r.effects.Send = append(r.effects.Send, n.held...)
	}
	n.held = nil
}
