package sim

import (
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// leap is NoStepCap: it brings lease time up to now whatever the distance.
func (n *node) leap() {
	for at := n.stepped; n.w.bugs.NoStepCap && at < n.w.now; {
		at = min(at+lease.StepMaxNanos, n.w.now)
		n.clock.Advance(at)
	}
}

// revive is RenewExpiring: it gives a lease its time to live though its expiry
// may still be applied.
func (n *node) revive(id int64) error {
	n.must(n.machine.Published().Timers(func(t mvcc.Timer) error {
		if t.Lease == id {
			n.keepTime(t)
		}
		return nil
	}))
	_, err := n.clock.Renew(id, n.w.now)
	return err
}

// ignoreGenerations is NoGeneration: an expiry names whatever is there.
func (n *node) ignoreGenerations(commands []*command.Command) {
	for _, c := range commands {
		x := c.GetExpire()
		if x == nil {
			continue
		}
		n.must(n.machine.Published().Timers(func(t mvcc.Timer) error {
			if t.Lease != 0 && t.Lease == x.Lease {
				x.Granted = t.Generation
			}
			return nil
		}))
		for _, k := range x.Keys {
			resp, err := n.machine.Published().Range(&kvpb.RangeRequest{Key: k.Key})
			n.must(err)
			for _, kv := range resp.Kvs {
				k.ModRevision = kv.ModRevision
			}
		}
	}
}
