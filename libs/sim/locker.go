package sim

import (
	"strconv"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// lockName is the lock that all lockers want; what it guards is below
// dataPrefix.
const (
	lockName   = "/locks/job"
	dataPrefix = "/data/"
)

// locker takes turns in holding a lock, each time with another lease.
type locker struct {
	w     *world
	lease *tenure
	fence int64 // 0: it does not think that it holds the lock
}

// believes: by its own clock, the lock is the client's.
func (l *locker) believes() bool {
	return l.fence != 0 && l.w.now < l.lease.acked+l.w.atLeast(l.lease.ttl)
}

func (l *locker) turn() {
	if l.w.ending {
		return
	}
	l.fence = 0
	l.lease = &tenure{client: l.w.newClient(), id: 1000 + l.w.id(), ttl: 100 * ms * (6 + l.w.rng.Int64N(10))}
	l.lease.grant(func(bool) {
		l.lease.keep()
		l.contend("m" + strconv.FormatInt(l.w.id(), 10))
	})
}

// contend asks for the lock, under the same message id until there is an
// outcome.
func (l *locker) contend(msgID string) {
	if l.w.ending {
		return
	}
	t, over := l.lease, false
	again := func(d int64) { l.w.after(d, func() { l.contend(msgID) }) }
	r := &kvpb.LockRequest{Name: []byte(lockName), Lease: t.id, WaitMillis: 1000}
	var fail func()
	fail = t.attempt(1500*ms, func(n *node, reply func(func())) {
		n.lock(r, msgID, func(resp *kvpb.LockResponse, err error) {
			if retryable(err) {
				l.w.after(t.delay(), fail)
				return
			}
			reply(func() {
				if over {
					return
				}
				over = true
				switch {
				case err != nil: // the lease has ended
					t.stopped = true
					l.w.after(l.w.between(1, 100), l.turn)
				case !resp.Held:
					again(0)
				default:
					l.w.judge.held(lockName, resp.Fence)
					l.fence = resp.Fence
					l.use(1+l.w.rng.IntN(5), 60)
				}
			})
		}, func() { l.w.after(t.delay(), fail) })
	}, func() { over = true; again(20 * ms) })
}

// use writes under the lock some times, then ends the turn.
func (l *locker) use(times int, pauseMillis int64) {
	if times == 0 {
		l.leave()
		return
	}
	l.w.after(l.w.between(1, pauseMillis), func() {
		l.guarded(func(ok bool) {
			if l.w.report.FencedRefused += one(!ok); !ok && l.believes() {
				l.w.fail("a write was refused with fence %d, which its client still holds", l.fence)
			}
			l.use(times-1, pauseMillis)
		})
	})
}

// guarded writes something that only the holder may write.
func (l *locker) guarded(done func(ok bool)) {
	put := &kvpb.PutRequest{Key: []byte(dataPrefix + lockName), Value: strconv.AppendInt(nil, l.fence, 10)}
	txn := &kvpb.TxnRequest{
		Compare: []*kvpb.Compare{lock.Held([]byte(lockName), l.fence)},
		Success: []*kvpb.RequestOp{{Request: &kvpb.RequestOp_Put{Put: put}}},
	}
	l.lease.write(&command.Command{Op: &command.Command_Txn{Txn: txn}}, func(res mvcc.Result, _ int64) {
		done(res.Response.(*kvpb.TxnResponse).Succeeded)
	})
}

// leave ends a turn: by a word, by silence, or not at all, as a client does
// that was stopped and does not know yet that it holds nothing any more.
func (l *locker) leave() {
	t := l.lease
	switch {
	case t.stopped: // a stale holder, for the second time
		l.turn()
	case l.w.chance(60):
		fence := l.fence
		l.fence, t.stopped = 0, true
		r := &kvpb.UnlockRequest{Name: []byte(lockName), Lease: t.id, Fence: fence}
		t.write(&command.Command{Op: &command.Command_Txn{Txn: lock.Unlock(r)}}, func(mvcc.Result, int64) {
			l.w.after(l.w.between(0, 200), l.turn)
		})
	case l.w.chance(50):
		t.stopped = true
		l.w.after(2*t.ttl, l.turn)
	default:
		t.stopped = true
		l.use(8, 600)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
