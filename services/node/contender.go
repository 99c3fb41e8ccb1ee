package node

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// grantID is the message id of the grant inside a request with an id.
func grantID(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return "kvorum.grant." + hex.EncodeToString(sum[:16])
}

// contender is a request to join a queue: it is granted a lease where it brings
// none, put into the queue, and then waits.
type contender struct {
	*request
	locks *locks
	form  form
	ask   *kvpb.LockRequest
	// grant and join are the commands, the former nil with a lease of its own.
	grant, join []byte
	term        uint64

	place     *kvpb.LockResponse // in the queue
	duplicate bool
}

func (c *contender) lead(on *consensus, r *request) {
	c.request, c.locks, c.term = r, on.applier.locks, on.role.Load().Term
	if c.grant != nil {
		c.propose(c.grant, granting{c})
	} else {
		c.propose(c.join, entering{c})
	}
}

func (c *contender) propose(data []byte, tag proposer) {
	deadline := c.deadline - c.ask.WaitMillis*int64(time.Millisecond)
	c.locks.propose(replica.Proposal{Command: data, Deadline: deadline, Tag: tag})
}

// granting and entering are a contender behind its two commands.
type granting struct{ *contender }

func (c granting) done(res mvcc.Result) {
	if res.Err != nil {
		c.fail(res.Err)
		return
	}
	c.propose(c.join, entering(c))
}

type entering struct{ *contender }

func (c entering) done(res mvcc.Result) {
	if res.Err != nil {
		c.fail(res.Err)
		return
	}
	var err error
	if c.place, err = lock.Locked(c.ask, res.Response.(*kvpb.TxnResponse)); err != nil {
		c.fail(err)
		return
	}
	c.duplicate = res.Duplicate
	place := lock.Waiter{Name: c.ask.Name, Lease: c.ask.Lease, Fence: c.place.Fence}
	w := &waiter{
		request: c.request, locks: c.locks, term: c.term, wait: time.Duration(c.ask.WaitMillis) * time.Millisecond,
		enter:  func(id uint64) error { return c.locks.registry.Wait(id, place) },
		answer: c.answer,
	}
	if c.grant != nil {
		w.lease = c.ask.Lease
	}
	c.locks.begin(w)
}

// answer tells the contender's place.
func (c *contender) answer(p *mvcc.Published, first bool) (answer, error) {
	ahead, err := c.ahead(p, first)
	if err != nil {
		return answer{}, err
	}
	resp := proto.Clone(c.place).(*kvpb.LockResponse)
	resp.Revision, resp.Held, resp.Ahead = p.Revision, ahead == 0, ahead
	a, err := c.form.answer(resp, resp.Revision)
	if c.duplicate && err == nil {
		a.header[api.HeaderDuplicate] = []string{"true"}
	}
	return a, err
}

// ahead counts the contenders before this one. Whose turn it was keeps it, for
// as long as its key is there; one whose key is gone has an error.
func (c *contender) ahead(p *mvcc.Published, first bool) (int64, error) {
	if first {
		kv, err := getKey(p, c.place.Key)
		if err != nil || kv.GetCreateRevision() == c.place.Fence {
			return 0, err
		}
	} else {
		queue, err := p.Contenders(c.ask.Name, 0)
		if err != nil {
			return 0, err
		}
		for i, kv := range queue {
			if kv.CreateRevision == c.place.Fence && kv.Lease == c.place.Lease {
				return int64(i), nil
			}
		}
	}
	_, err := p.Lease(c.place.Lease, false)
	place := lock.Waiter{Name: c.ask.Name, Lease: c.place.Lease, Fence: c.place.Fence}
	return 0, lock.ErrGone(place, api.KindOf(err) == api.KindLeaseNotFound)
}
