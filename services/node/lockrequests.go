package node

import (
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// parseNamed reads a request that names a lock or an election: on the subject
// after the prefix or, where that is empty, in the body. name is a field of req.
func parseNamed(m *nats.Msg, prefix string, req proto.Message, name *[]byte) (headers, form, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, 0, err
	}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, 0, err
	}
	if prefix == "" {
		return h, f, nil
	}
	if len(*name) > 0 {
		return nil, 0, api.Errorf(api.KindBadRequest, "a name is given in the body: it is on the subject already")
	}
	*name, err = subject.Decode(m.Subject[len(prefix):])
	return h, f, err
}

func parseLock(m *nats.Msg) (*call, error)     { return parseContend(m, api.SubjectLock) }
func parseCampaign(m *nats.Msg) (*call, error) { return parseContend(m, "") }
func parseUnlock(m *nats.Msg) (*call, error)   { return parseLeave(m, api.SubjectUnlock) }
func parseResign(m *nats.Msg) (*call, error)   { return parseLeave(m, "") }

func parseContend(m *nats.Msg, prefix string) (*call, error) {
	c := &contender{ask: &kvpb.LockRequest{}}
	h, f, err := parseNamed(m, prefix, c.ask, &c.ask.Name)
	if err == nil {
		err = lock.CheckLock(c.ask)
	}
	if err != nil {
		return nil, err
	}
	c.form = f
	id, err := h.msgID()
	if err != nil {
		return nil, err
	}
	if c.ask.Lease == 0 {
		c.ask.Lease = chooseLease(id)
		op := &kvpb.LeaseGrantRequest{Id: c.ask.Lease, TtlMillis: c.ask.TtlMillis}
		grant := &command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: op}}
		if c.grant, err = encode(grant, grantID(id)); err != nil {
			return nil, err
		}
	}
	join := &command.Command{Op: &command.Command_Txn{Txn: lock.Lock(c.ask)}}
	if c.join, err = encode(join, id); err != nil {
		return nil, err
	}
	return &call{lead: c.lead, grows: true, wait: time.Duration(c.ask.WaitMillis) * time.Millisecond}, nil
}

func parseLeave(m *nats.Msg, prefix string) (*call, error) {
	req := &kvpb.UnlockRequest{}
	h, f, err := parseNamed(m, prefix, req, &req.Name)
	if err == nil {
		err = lock.CheckUnlock(req)
	}
	if err != nil {
		return nil, err
	}
	return planned(h, f, lock.Unlock(req), func(r *kvpb.TxnResponse) (revisioned, error) { return lock.Unlocked(req, r) })
}

func parseProclaim(m *nats.Msg) (*call, error) {
	req := &kvpb.ProclaimRequest{}
	h, f, err := parseNamed(m, "", req, &req.Name)
	if err == nil {
		err = lock.CheckProclaim(req)
	}
	if err != nil {
		return nil, err
	}
	return planned(h, f, lock.Proclaim(req), func(r *kvpb.TxnResponse) (revisioned, error) { return lock.Proclaimed(req, r) })
}

type revisioned interface {
	proto.Message
	GetRevision() int64
}

// planned is a request that is one transaction, whose response read turns into
// the answer.
func planned(h headers, f form, txn *kvpb.TxnRequest, read func(*kvpb.TxnResponse) (revisioned, error)) (*call, error) {
	c := &command.Command{Op: &command.Command_Txn{Txn: txn}}
	return writeCall(h, c, func(res mvcc.Result) (answer, error) {
		resp, err := read(res.Response.(*kvpb.TxnResponse))
		if err != nil {
			return answer{}, err
		}
		return f.answer(resp, resp.GetRevision())
	})
}

// parseLeader: any node tells who holds a name.
func parseLeader(m *nats.Msg) (*call, error) {
	req := &kvpb.LeaderRequest{}
	_, f, err := parseNamed(m, "", req, &req.Name)
	if err == nil {
		err = lock.CheckLeader(req)
	}
	if err != nil {
		return nil, err
	}
	if req.After != 0 || req.WaitMillis != 0 {
		return nil, api.Errorf(api.KindBadRequest, "after and wait are for %s", api.SubjectObserve)
	}
	return &call{read: func(p *mvcc.Published) (answer, error) { return leaderOf(p, req.Name, f) }}, nil
}

// parseObserve: the leader waits for another holder or value.
func parseObserve(m *nats.Msg) (*call, error) {
	req := &kvpb.LeaderRequest{}
	_, f, err := parseNamed(m, "", req, &req.Name)
	if err == nil {
		err = lock.CheckLeader(req)
	}
	if err != nil {
		return nil, err
	}
	wait := time.Duration(req.WaitMillis) * time.Millisecond
	return &call{wait: wait, lead: func(c *consensus, r *request) {
		l := c.applier.locks
		l.begin(&waiter{
			request: r, locks: l, term: c.role.Load().Term, wait: wait,
			enter:  func(id uint64) error { return l.registry.Observe(id, req.Name, req.After) },
			answer: func(p *mvcc.Published, _ bool) (answer, error) { return leaderOf(p, req.Name, f) },
		})
	}}, nil
}

func leaderOf(p *mvcc.Published, name []byte, f form) (answer, error) {
	resp := &kvpb.LeaderResponse{Revision: p.Revision}
	kvs, err := p.Contenders(name, 1)
	if err != nil {
		return answer{}, err
	}
	if len(kvs) > 0 {
		resp.Leader = kvs[0]
	}
	return f.answer(resp, resp.Revision)
}
