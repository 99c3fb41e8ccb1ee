package sim

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// request is what stands behind a proposal or a read; one of its functions is
// called.
type request struct {
	applied func(mvcc.Result)
	done    func() // a read's
	refuse  func() // certainly or possibly not applied
}

// write brings a command into the log.
func (n *node) write(c *command.Command, r *request) {
	b, err := proto.Marshal(c)
	n.must(err)
	n.replica.Propose(replica.Proposal{Command: b, Deadline: n.w.now + 1000*ms, Tag: r})
}

// apply brings committed entries into the state and answers for them. The
// clock hears of them in the next step, before the replica does.
func (n *node) apply(t *replica.ApplyTask) {
	var timers []mvcc.Timer
	for _, c := range t.Entries {
		e := mvcc.Entry{Index: c.Entry.GetIndex(), Term: c.Entry.GetTerm()}
		if e.Index <= n.machine.Published().Index {
			continue // the state was replaced meanwhile
		}
		if len(c.Entry.GetData()) > 0 {
			_, commands, err := command.Decode(c.Entry.GetData())
			n.must(err)
			e.Commands = commands
		}
		if n.w.bugs.NoGeneration {
			n.ignoreGenerations(e.Commands)
		}
		applied, err := n.machine.Apply([]mvcc.Entry{e})
		n.must(err)
		n.w.judge.applied(n, e, applied)
		for i, p := range c.Proposals {
			p.Tag.(*request).applied(applied.Results[0][i])
		}
		for _, ev := range applied.Events {
			n.locks.Event(ev)
		}
		timers = append(timers, applied.Timers...)
	}
	n.mail = append(n.mail, func() {
		for _, timer := range timers {
			n.keepTime(timer)
		}
		n.replica.Applied(t)
	})
}

func (n *node) lead(term uint64) {
	switch {
	case n.w.bugs.ClockNeverStops:
		return
	case n.w.bugs.ForgetInFlight:
		term = uint64(n.w.id())
	}
	n.clock.Lead(term, n.w.now)
}

func (n *node) follow() {
	if !n.w.bugs.ClockNeverStops {
		n.clock.Follow()
	}
	for _, id := range n.locks.Clear() {
		n.answer(id, nil, lock.ErrMoved())
	}
}

// renew records a renewal and answers after a quorum round that began after it.
func (n *node) renew(id int64, reply func(error)) {
	if !n.role.Serving {
		reply(lease.ErrNotLeading)
		return
	}
	_, err := n.clock.Renew(id, n.w.now)
	if errors.Is(err, lease.ErrExpiring) && n.w.bugs.RenewExpiring {
		err = n.revive(id)
	}
	if errors.Is(err, lease.ErrExpiring) || err == nil && n.w.bugs.AckWithoutRound {
		reply(err)
		return
	}
	// That a lease does not exist needs the round as well: a later leader may
	// have granted it. And one that was recorded may have ended by an entry that
	// was committed before the round, and is applied now.
	// A round counts only where the node led all the while: once it follows,
	// the round is another leader's, who knows nothing of the renewal.
	term := n.role.Term
	n.replica.Read(replica.Read{Deadline: n.w.now + 1000*ms, Tag: &request{
		done: func() {
			_, gone := n.machine.Published().Lease(id, false)
			switch {
			case !n.role.Leading || n.role.Term != term:
				err = lease.ErrNotLeading
			case n.w.bugs.NoLook:
			case gone != nil:
				err = lease.ErrNotFound
			case err != nil:
				err = lease.ErrExpiring
			}
			reply(err)
		},
		refuse: func() { reply(lease.ErrNotLeading) },
	}})
}

// expire proposes the end of what is due.
func (n *node) expire() {
	if !n.role.Serving {
		return
	}
	due := n.clock.Due(expiriesMax - n.inFlight)
	keys := &command.Expire{}
	var ofKeys []lease.Expiry
	for _, e := range due {
		if e.Lease != 0 {
			n.proposeExpiry(&command.Expire{Lease: e.Lease, Granted: e.Generation}, []lease.Expiry{e})
			continue
		}
		keys.Keys = append(keys.Keys, &command.ExpireKey{Key: []byte(e.Key), ModRevision: int64(e.Generation)})
		ofKeys = append(ofKeys, e)
	}
	if len(ofKeys) > 0 {
		n.proposeExpiry(keys, ofKeys)
	}
}

// expiriesMax bounds the expiries in flight.
const expiriesMax = 1000

func (n *node) proposeExpiry(x *command.Expire, of []lease.Expiry) {
	n.inFlight += len(of)
	n.write(&command.Command{Op: &command.Command_Expire{Expire: x}}, &request{
		applied: func(mvcc.Result) { n.inFlight -= len(of) },
		refuse: func() {
			n.inFlight -= len(of)
			for _, e := range of {
				n.clock.Failed(e)
			}
		},
	})
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
