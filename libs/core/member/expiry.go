package member

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// expiry is one proposed command that ends leases or keys.
type expiry struct {
	of      []lease.Expiry
	command *command.Command
	refusal *api.Error // by the state machine
}

// expiries makes commands of what has run out: one for each lease, one for many
// keys.
func expiries(due []lease.Expiry) (list []*expiry) {
	var keys *expiry // the command that takes more keys
	size := 0
	for _, d := range due {
		if d.Lease != 0 {
			x := &command.Expire{Lease: d.Lease, Granted: d.Generation}
			list = append(list, &expiry{of: []lease.Expiry{d}, command: expireCommand(x)})
			continue
		}
		if keys == nil || len(keys.of) >= mvcc.MaxExpireKeys || size+len(d.Key) > expireBytesMax {
			keys, size = &expiry{command: expireCommand(&command.Expire{})}, 0
			list = append(list, keys)
		}
		size += len(d.Key)
		x := keys.command.GetExpire()
		x.Keys = append(x.Keys, &command.ExpireKey{Key: []byte(d.Key), ModRevision: int64(d.Generation)})
		keys.of = append(keys.of, d)
	}
	return list
}

func expireCommand(x *command.Expire) *command.Command {
	return &command.Command{Op: &command.Command_Expire{Expire: x}}
}

// due takes what has run out, as much as may be under way.
func (l *Leases) due() (due []lease.Expiry) {
	for l.outstanding < expiriesMax {
		one := l.clock.Due(1)
		if len(one) == 0 {
			break
		}
		l.outstanding += weight(one[0])
		due = append(due, one...)
	}
	return due
}

// weight is what counts against expiriesMax.
func weight(e lease.Expiry) int {
	if e.Lease != 0 {
		return expiryOfLease
	}
	return 1
}

// decided has tried again what apply did not end, after the timers that apply
// changed were set.
func (l *Leases) decided(x *expiry) {
	for _, e := range x.of {
		l.outstanding -= weight(e)
		l.clock.Failed(e)
	}
}

// refused takes the member's own proposals out of those that were refused.
func (l *Leases) refused(list []replica.Refusal) (others []replica.Refusal) {
	others = list[:0]
	for _, rf := range list {
		if x, own := rf.Proposal.Tag.(*expiry); own {
			l.decided(x)
		} else {
			others = append(others, rf)
		}
	}
	return others
}

// unknown takes them out of those that got no outcome.
func (l *Leases) unknown(list []replica.Proposal) (others []replica.Proposal) {
	others = list[:0]
	for _, p := range list {
		if x, own := p.Tag.(*expiry); own {
			l.decided(x)
		} else {
			others = append(others, p)
		}
	}
	return others
}
