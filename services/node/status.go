package node

import (
	"encoding/hex"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// serveStatus answers at once, with or without a quorum.
func (n *Node) serveStatus(m *nats.Msg) {
	req := n.newRequest(m, "status")
	_, f, err := bodyHeaders(m)
	if err == nil {
		err = f.unmarshal(m.Data, &kvpb.StatusRequest{})
	}
	if err != nil {
		req.fail(err)
		return
	}
	n.box.call(func(r *replica.Replica) {
		resp := n.status(r)
		go func() {
			a, err := f.answer(resp, resp.Revision)
			if err != nil {
				req.fail(err)
				return
			}
			req.reply(a)
		}()
	})
}

// status is gathered on the consensus goroutine.
func (n *Node) status(r *replica.Replica) *kvpb.StatusResponse {
	role, p, log := n.consensus.role.Load(), n.published(), n.store.Log()
	first, _ := log.FirstIndex()
	last, _ := log.LastIndex()
	resp := &kvpb.StatusResponse{
		Node:            n.cfg.Name,
		NodeId:          n.id,
		ClusterId:       n.cfg.ClusterID(),
		Version:         n.cfg.Version,
		Term:            role.Term,
		RaftIndex:       last,
		CommitIndex:     r.Commit(),
		AppliedIndex:    p.Index,
		CheckpointIndex: log.Checkpoint(),
		FirstIndex:      first,
		Revision:        p.Revision,
		Compacted:       p.Compacted,
		Digest:          hex.EncodeToString(p.Digest[:]),
		LogBytes:        log.Bytes(),
		StateBytes:      n.store.State().Bytes(),
		FreeBytes:       n.freeBytes.Load(),
		Alarms:          n.alarms(role),
	}
	resp.Ready = len(resp.Alarms) == 0
	resp.State = api.StateWhole
	if n.joining.replaced() {
		resp.State, resp.StateReason = api.StateRebuilding, n.joining.membership().Reason
	}
	resp.Members = members(&n.cfg, role.Leader, n.peers)
	for _, m := range resp.Members {
		if m.Leader {
			resp.Leader = m.Name
		}
	}
	return resp
}

// members are all nodes as this one sees them.
func members(cfg *Config, leader uint64, peers *natsbus.PeerBus) (all []*kvpb.Member) {
	for _, p := range cfg.Peers {
		id := p.ID()
		all = append(all, &kvpb.Member{
			Name: p.Name, Id: id, PeerAddress: p.Address,
			Leader:    id == leader,
			Reachable: p.Name == cfg.Name || peers.Reachable(id),
		})
	}
	return all
}

// alarms are the kinds of errors that clients of this node meet now.
func (n *Node) alarms(role *replica.Role) (kinds []string) {
	if role.Leader == 0 || role.Leading && !role.Serving {
		kinds = append(kinds, string(api.KindNoLeader))
	}
	if n.joining.replaced() || n.behind.Load() {
		kinds = append(kinds, string(api.KindUnavailable))
	}
	if n.lowSpace.Load() {
		kinds = append(kinds, string(api.KindNoSpace))
	}
	return kinds
}

// admit refuses a write that grows the store while the disk is nearly full.
func (n *Node) admit(c *call) error {
	if !n.lowSpace.Load() || !c.grows && !grows(c.command) {
		return nil
	}
	return api.Errorf(api.KindNoSpace, "%s has %d MiB of disk left, less than --min-free-bytes (%d MiB): delete keys, compact, or give it more space",
		n.cfg.Name, n.freeBytes.Load()>>20, n.cfg.MinFreeBytes>>20)
}
