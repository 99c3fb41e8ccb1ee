package node

import (
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// leases knows what time is left to leases and to keys with a time to live of
// their own, and proposes the end of what has run out. It belongs to the
// consensus goroutine.
type leases struct {
	log     *slog.Logger
	box     *mailbox
	clock   *lease.Clock
	serving bool
	// outstanding is the weight of what Due gave out and no proposal has decided.
	outstanding int
	// kept are leases that a waiting request keeps alive, with the number of
	// such requests.
	kept   map[int64]int
	keptAt int64
}

func newLeases(log *slog.Logger, box *mailbox, clock *lease.Clock) *leases {
	return &leases{log: log, box: box, clock: clock, kept: map[int64]int{}}
}

// openClock makes a clock with the timers of a state.
func openClock(p *mvcc.Published) (*lease.Clock, error) {
	c := lease.New()
	err := p.Timers(func(t mvcc.Timer) error {
		setTimer(c, t)
		return nil
	})
	return c, err
}

func setTimer(c *lease.Clock, t mvcc.Timer) {
	id := lease.ID{Lease: t.Lease, Key: string(t.Key)}
	if t.Gone {
		c.Cancel(id)
		return
	}
	c.Set(lease.Timer{ID: id, TTLMillis: t.TTLMillis, Generation: t.Generation})
}

// onRole begins and ends the time of this node's leadership.
func (l *leases) onRole(role replica.Role, now int64) {
	if l.serving = role.Serving; l.serving {
		l.clock.Lead(role.Term, now)
	} else {
		l.clock.Follow()
	}
}

// advance comes first in a step, and applied after it: what is set now begins now.
func (l *leases) advance(now int64) { l.clock.Advance(now) }

func (l *leases) applied(a appliedTasks) {
	if a.clock != nil {
		// A node that has received a state does not lead.
		l.clock = a.clock
	}
	for _, t := range a.timers {
		setTimer(l.clock, t)
	}
}

// wake is when the next step is due, at the latest when the replica wants one.
func (l *leases) wake(replica int64) int64 {
	if next := l.clock.Next(); next != 0 && l.outstanding < expiriesMax {
		return min(replica, next)
	}
	return replica
}

// keep has a lease renewed until release.
func (l *leases) keep(id int64) { l.kept[id]++ }

func (l *leases) release(id int64) {
	if l.kept[id]--; l.kept[id] <= 0 {
		delete(l.kept, id)
	}
}

// expire ends a step: it proposes the end of what has run out.
func (l *leases) expire(r *replica.Replica, now int64) {
	if !l.serving {
		return
	}
	l.renewKept(now)
	for _, e := range expiryCommands(l.due()) {
		data, err := proto.Marshal(e.command)
		if err != nil {
			panic("node: encode an expiry: " + err.Error()) // it has no text fields
		}
		e.leases = l
		r.Propose(replica.Proposal{Command: data, Deadline: now + int64(requestTimeout), Tag: e})
	}
}

func (l *leases) renewKept(now int64) {
	if now-l.keptAt < int64(keepEvery) {
		return
	}
	l.keptAt = now
	for id := range l.kept {
		_, _ = l.clock.Renew(id, now) // one that is gone tells its request by itself
	}
}

// due takes what has run out, as much as may be under way.
func (l *leases) due() (due []lease.Expiry) {
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

// expiry is one proposed command that ends leases or keys.
type expiry struct {
	leases  *leases
	of      []lease.Expiry
	command *command.Command
}

// expiryCommands makes commands of what has run out: one for each lease, one
// for many keys.
func expiryCommands(due []lease.Expiry) (list []*expiry) {
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

// done: apply has decided, and the timers that it changed were on their way
// before.
func (e *expiry) done(res mvcc.Result) {
	if res.Err != nil {
		e.leases.log.Error("an expiry was refused: it is tried again", "error", res.Err, "first", e.of[0].ID)
	}
	e.leases.box.do(func(*consensus) { e.decided() })
}

// fail: it was not proposed, or nobody knows.
func (e *expiry) fail(error) { e.decided() }

// decided has tried again what apply did not end. It runs on the consensus
// goroutine.
func (e *expiry) decided() {
	for _, x := range e.of {
		e.leases.outstanding -= weight(x)
		e.leases.clock.Failed(x)
	}
}
