package client

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// queues is a cluster with leases and queues for names. Nothing in it expires
// by itself. A request for a name waits until its place is the first.
type queues struct {
	t *testing.T
	f *fan

	mu      sync.Mutex
	lease   int64                     // the last one granted
	dead    map[int64]bool            // leases
	places  []*kvpb.KeyValue          // in order, of all names
	byID    map[string]*kvpb.KeyValue // by Nats-Msg-Id
	waiting []*nats.Msg
	entered chan string                    // keys, as they enter
	ask     func(m *nats.Msg) *nats.Msg    // an answer to a campaign instead of its own
	seen    map[string][]*kvpb.LockRequest // by Nats-Msg-Id
}

func newQueues(t *testing.T) *queues {
	q := &queues{t: t, f: newFan(t), dead: map[int64]bool{}, byID: map[string]*kvpb.KeyValue{}, entered: make(chan string, 64),
		seen: map[string][]*kvpb.LockRequest{}}
	b := q.f.b
	b.serve("kv.lease.grant", func(_ int, m *nats.Msg) *nats.Msg {
		req := reads(t, m, &kvpb.LeaseGrantRequest{})
		q.mu.Lock()
		defer q.mu.Unlock()
		q.lease++
		return answers(&kvpb.LeaseGrantResponse{Revision: 1, Id: q.lease, TtlMillis: req.GetTtlMillis()})
	})
	b.serve("kv.lease.keepalive", func(_ int, m *nats.Msg) *nats.Msg {
		resp := &kvpb.LeaseKeepAliveResponse{}
		for _, id := range reads(t, m, &kvpb.LeaseKeepAliveRequest{}).GetIds() {
			state := &kvpb.LeaseState{Id: id}
			if q.isDead(id) {
				state.Error = string(api.KindLeaseNotFound)
			}
			resp.Leases = append(resp.Leases, state)
		}
		return answers(resp)
	})
	b.serve("kv.lease.revoke", func(_ int, m *nats.Msg) *nats.Msg {
		q.kill(reads(t, m, &kvpb.LeaseRevokeRequest{}).GetId())
		return answers(&kvpb.LeaseRevokeResponse{})
	})
	b.serve("kv.elect.campaign", func(_ int, m *nats.Msg) *nats.Msg { return q.campaign(m, reads(t, m, &kvpb.LockRequest{})) })
	b.serve("kv.elect.resign", func(_ int, m *nats.Msg) *nats.Msg {
		req := reads(t, m, &kvpb.UnlockRequest{})
		if !q.remove(func(kv *kvpb.KeyValue) bool {
			return string(kv.GetKey()) == keyOf(req.GetName(), req.GetLease()) && kv.GetCreateRevision() == req.GetFence()
		}) {
			return fails(api.KindNotHeld)
		}
		return answers(&kvpb.UnlockResponse{})
	})
	b.serve("kv.elect.proclaim", func(_ int, m *nats.Msg) *nats.Msg { return q.proclaim(reads(t, m, &kvpb.ProclaimRequest{})) })
	b.serve("kv.elect.leader", func(_ int, m *nats.Msg) *nats.Msg { return q.leader(reads(t, m, &kvpb.LeaderRequest{})) })
	b.serve("kv.elect.observe", func(_ int, m *nats.Msg) *nats.Msg { return q.leader(reads(t, m, &kvpb.LeaderRequest{})) })
	b.serve("kv.range", func(_ int, m *nats.Msg) *nats.Msg {
		req, resp := reads(t, m, &kvpb.RangeRequest{}), &kvpb.RangeResponse{}
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, kv := range q.places {
			if string(kv.GetKey()) == string(req.GetKey()) {
				resp.Kvs = append(resp.Kvs, kv)
			}
		}
		q.f.set(func() { resp.Revision = q.f.revision })
		return answers(resp)
	})
	return q
}

func keyOf(name []byte, lease int64) string { return fmt.Sprintf("%s/%016x", name, lease) }

func (q *queues) isDead(lease int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dead[lease]
}

func (q *queues) campaign(m *nats.Msg, req *kvpb.LockRequest) *nats.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := m.Header.Get(api.HeaderMsgID)
	q.seen[id] = append(q.seen[id], req)
	if q.dead[req.GetLease()] {
		return fails(api.KindLeaseNotFound)
	}
	key := keyOf(req.GetName(), req.GetLease())
	kv := q.byID[id]
	switch {
	case kv != nil && !slices.Contains(q.places, kv):
		return fails(api.KindNotHeld)
	case kv == nil:
		if i := slices.IndexFunc(q.places, func(kv *kvpb.KeyValue) bool { return string(kv.GetKey()) == key }); i >= 0 {
			return failsWith(&api.Error{Kind: api.KindAlreadyHeld, Message: "as the test wants it", ModRevision: q.places[i].GetCreateRevision()})
		}
		q.f.set(func() {
			n := q.f.put(false, key)
			kv = &kvpb.KeyValue{Key: []byte(key), Value: req.GetValue(), Lease: req.GetLease(), CreateRevision: n, ModRevision: n}
		})
		q.places = append(q.places, kv)
		q.byID[id] = kv
		q.entered <- key
	}
	if q.ask != nil {
		return q.ask(m)
	}
	if req.GetWaitMillis() == 0 || q.first(req.GetName()) == kv {
		return answers(&kvpb.LockResponse{Held: q.first(req.GetName()) == kv, Key: kv.GetKey(), Fence: kv.GetCreateRevision(), Lease: req.GetLease()})
	}
	q.waiting = append(q.waiting, m)
	return nil
}

// first is the place that holds a name.
func (q *queues) first(name []byte) *kvpb.KeyValue {
	for _, kv := range q.places {
		if string(kv.GetKey()) == keyOf(name, kv.GetLease()) {
			return kv
		}
	}
	return nil
}

// remove takes places out of their queues, and answers those who wait for them.
func (q *queues) remove(which func(*kvpb.KeyValue) bool) (found bool) {
	q.mu.Lock()
	var gone []*kvpb.KeyValue
	q.places = slices.DeleteFunc(q.places, func(kv *kvpb.KeyValue) bool {
		if which(kv) {
			gone = append(gone, kv)
		}
		return which(kv)
	})
	waiting := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	for _, kv := range gone {
		q.f.expire(string(kv.GetKey()))
	}
	for _, m := range waiting {
		var req kvpb.LockRequest
		if err := proto.Unmarshal(m.Data, &req); err != nil {
			q.t.Error(err)
		}
		if a := q.campaign(m, &req); a != nil {
			a.Subject = m.Reply
			_ = q.f.b.nc.PublishMsg(a)
		}
	}
	return len(gone) > 0
}

// kill ends a lease.
func (q *queues) kill(lease int64) {
	q.mu.Lock()
	q.dead[lease] = true
	q.mu.Unlock()
	q.remove(func(kv *kvpb.KeyValue) bool { return kv.GetLease() == lease })
}

func (q *queues) proclaim(req *kvpb.ProclaimRequest) *nats.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	kv := q.first(req.GetName())
	if kv.GetLease() != req.GetLease() || kv.GetCreateRevision() != req.GetFence() {
		return fails(api.KindNotHeld)
	}
	q.f.set(func() { q.f.revision++; kv.ModRevision = q.f.revision })
	kv.Value = req.GetValue()
	return answers(&kvpb.ProclaimResponse{})
}

func (q *queues) leader(req *kvpb.LeaderRequest) *nats.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	kv := q.first(req.GetName())
	if kv != nil {
		kv = proto.CloneOf(kv)
	}
	return answers(&kvpb.LeaderResponse{Leader: kv})
}
