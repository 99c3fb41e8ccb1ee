package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

func (r *reader) statusResponse(m *kvpb.StatusResponse) {
	numbers := map[string]*uint64{
		"term":             &m.Term,
		"raft_index":       &m.RaftIndex,
		"commit_index":     &m.CommitIndex,
		"applied_index":    &m.AppliedIndex,
		"checkpoint_index": &m.CheckpointIndex,
		"first_index":      &m.FirstIndex,
		"log_bytes":        &m.LogBytes,
		"state_bytes":      &m.StateBytes,
		"free_bytes":       &m.FreeBytes,
	}
	r.object(func(name string) bool {
		switch name {
		case "node":
			m.Node = r.string()
		case "node_id":
			m.NodeId = r.hex()
		case "cluster_id":
			m.ClusterId = r.hex()
		case "version":
			m.Version = r.string()
		case "leader":
			m.Leader = r.string()
		case "revision":
			m.Revision = r.int64()
		case "compacted":
			m.Compacted = r.int64()
		case "digest":
			m.Digest = r.string()
		case "members":
			r.array(func() {
				member := new(kvpb.Member)
				r.member(member)
				m.Members = append(m.Members, member)
			})
		case "alarms":
			r.array(func() { m.Alarms = append(m.Alarms, r.string()) })
		case "ready":
			m.Ready = r.bool()
		case "state":
			m.State = r.string()
		case "state_reason":
			m.StateReason = r.string()
		default:
			n, ok := numbers[name]
			if ok {
				*n = r.uint64()
			}
			return ok
		}
		return true
	})
}

// statusResponse writes every field, zero or not: people read this one.
func (w *writer) statusResponse(m *kvpb.StatusResponse) {
	w.object(func() {
		w.string("node", m.Node)
		w.hex("node_id", m.NodeId)
		w.hex("cluster_id", m.ClusterId)
		w.string("version", m.Version)
		w.string("leader", m.Leader)
		w.uint("term", m.Term)
		w.uint("raft_index", m.RaftIndex)
		w.uint("commit_index", m.CommitIndex)
		w.uint("applied_index", m.AppliedIndex)
		w.uint("checkpoint_index", m.CheckpointIndex)
		w.uint("first_index", m.FirstIndex)
		w.int("revision", m.Revision)
		w.int("compacted", m.Compacted)
		w.string("digest", m.Digest)
		w.uint("log_bytes", m.LogBytes)
		w.uint("state_bytes", m.StateBytes)
		w.uint("free_bytes", m.FreeBytes)
		w.array("members", len(m.Members), func(i int) { w.member(m.Members[i]) })
		w.array("alarms", len(m.Alarms), func(i int) {
			w.value()
			w.text(m.Alarms[i])
		})
		w.bool("ready", m.Ready)
		w.string("state", m.State)
		w.string("state_reason", m.StateReason)
	})
}

func (r *reader) member(m *kvpb.Member) {
	r.object(func(name string) bool {
		switch name {
		case "name":
			m.Name = r.string()
		case "id":
			m.Id = r.hex()
		case "peer_address":
			m.PeerAddress = r.string()
		case "leader":
			m.Leader = r.bool()
		case "reachable":
			m.Reachable = r.bool()
		case "learner":
			m.Learner = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) member(m *kvpb.Member) {
	w.object(func() {
		w.string("name", m.Name)
		w.hex("id", m.Id)
		w.string("peer_address", m.PeerAddress)
		w.bool("leader", m.Leader)
		w.bool("reachable", m.Reachable)
		w.bool("learner", m.Learner)
	})
}
