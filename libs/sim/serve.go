package sim

import (
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// request is what stands behind a proposal or a read; one of its functions is
// called.
type request struct {
	applied func(mvcc.Result)
	done    func() // a read's
	refuse  func() // certainly or possibly not applied
	refused func() // certainly not applied; nil: refuse
}

// never says that the request was not carried out and will not be.
func (r *request) never() {
	if r.refused != nil {
		r.refused()
	} else {
		r.refuse()
	}
}

// write brings a command into the log.
func (n *node) write(c *command.Command, r *request) {
	b, err := proto.Marshal(c)
	n.must(err)
	n.replica.Propose(replica.Proposal{Command: b, Deadline: n.now() + 1000*ms, Tag: r})
}

// read asks for a quorum round: r.done is called once the state is as new as what
// was committed when the round began.
func (n *node) read(r *request) { n.replica.Read(n.reading(r)) }

func (n *node) reading(r *request) replica.Read {
	return replica.Read{Deadline: n.now() + 1000*ms, Tag: r}
}

// renew records a renewal and answers after a quorum round that began after it,
// as the storage node does.
func (n *node) renew(id int64, reply func(error)) {
	if !n.role.Serving {
		reply(lease.ErrNotLeading)
		return
	}
	var resp *kvpb.LeaseKeepAliveResponse
	rd := n.reading(&request{
		done: func() {
			n.must(member.Confirm(resp, n.machine.Published()))
			switch resp.Leases[0].Error {
			case "":
				reply(nil)
			case string(api.KindLeaseNotFound):
				reply(lease.ErrNotFound)
			default:
				reply(lease.ErrExpiring)
			}
		},
		refuse: func() { reply(lease.ErrNotLeading) },
	})
	resp = n.member.Renew([]int64{id}, n.now(), rd)
}

// lockRequest is a request that waits for a lock.
type lockRequest struct {
	resp  *kvpb.LockResponse
	w     lock.Waiter
	reply func(*kvpb.LockResponse, error)
}

// lock puts a contender into the queue and answers when it holds the name or
// the time to wait is over. refuse: it may or may not be in the queue.
func (n *node) lock(r *kvpb.LockRequest, msgID string, reply func(*kvpb.LockResponse, error), refuse func()) {
	c := &command.Command{Op: &command.Command_Txn{Txn: lock.Lock(r)}, MsgId: msgID}
	n.write(c, &request{refuse: refuse, applied: func(res mvcc.Result) {
		if res.Err != nil {
			reply(nil, res.Err)
			return
		}
		resp, err := lock.Locked(r, res.Response.(*kvpb.TxnResponse))
		if err == nil && !n.role.Serving {
			err = lock.ErrMoved()
		}
		if err != nil {
			reply(nil, err)
			return
		}
		id := uint64(n.w.id())
		req := &lockRequest{resp: resp, reply: reply, w: lock.Waiter{Name: r.Name, Lease: r.Lease, Fence: resp.Fence}}
		n.waiters[id] = req
		n.must(n.locks.Wait(id, req.w))
		n.later(r.WaitMillis*ms, func() { n.locks.Cancel(id); n.answer(id, resp, nil) })
	}})
}

// answer ends a wait, unless it has ended.
func (n *node) answer(id uint64, resp *kvpb.LockResponse, err error) {
	if req := n.waiters[id]; req != nil {
		delete(n.waiters, id)
		req.reply(resp, err)
	}
}

// serveLocks looks at what the registry wants to see and answers who is done.
func (n *node) serveLocks() {
	p := n.machine.Published()
	for _, l := range n.locks.Looks() {
		var kvs []*kvpb.KeyValue
		var err error
		if l.Key == nil {
			kvs, err = p.Contenders(l.Name, 1)
		} else {
			var resp *kvpb.RangeResponse
			resp, err = p.Range(&kvpb.RangeRequest{Key: l.Key, KeysOnly: true})
			kvs = resp.GetKvs()
		}
		n.must(err)
		n.locks.Found(l, append(kvs, nil)[0])
	}
	for _, d := range n.locks.Done() {
		req := n.waiters[d.ID]
		if d.Lost {
			_, err := p.Lease(req.w.Lease, false)
			n.answer(d.ID, nil, lock.ErrGone(req.w, api.KindOf(err) == api.KindLeaseNotFound))
			continue
		}
		req.resp.Held = true
		n.answer(d.ID, req.resp, nil)
	}
}
