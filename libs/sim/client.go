package sim

import (
	"errors"
	"strconv"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// client sends requests: to the node that answered last, and to the next one
// where it does not answer or does not lead.
type client struct {
	w  *world
	at int
	// stubborn: it stays with a node that does not answer, most of the time,
	// so that what it sent waits there for a node that was stopped.
	stubborn bool
}

// attempt sends something to a node, whose answers travel back through reply.
// failed is called once: after an answer that said so, or without one in time.
// Answers that come later than that still count.
func (c *client) attempt(timeout int64, send func(n *node, reply func(func())), failed func()) (fail func()) {
	n, over := c.w.nodes[c.at], false
	fail = func() {
		if over {
			return
		}
		if over = true; c.w.nodes[c.at] == n {
			c.at = (c.at + 1) % len(c.w.nodes)
		}
		failed()
	}
	c.w.after(timeout, func() {
		switch {
		case over:
		case c.stubborn && !c.w.chance(5):
			over = true
			failed()
		default:
			fail()
		}
	})
	reply := func(do func()) {
		c.w.after(c.delay(), func() {
			c.w.fold(uint64(c.w.now), n.id)
			over = true
			do()
		})
	}
	c.w.after(c.delay(), func() { n.arrive(func() { send(n, reply) }) })
	return fail
}

func (c *client) delay() int64 { return c.w.between(0, 2) }

// write sends a command until it has an outcome. first is when it was sent
// first.
func (c *client) write(op *command.Command, done func(res mvcc.Result, first int64)) {
	first, before, finished := c.w.now, c.w.judge.revision, false
	op.MsgId = "m" + strconv.FormatInt(c.w.id(), 10)
	var again func()
	again = func() {
		if finished {
			return
		}
		var fail func()
		fail = c.attempt(400*ms, func(n *node, reply func(func())) {
			n.write(op, &request{
				applied: func(res mvcc.Result) {
					reply(func() {
						if !finished {
							finished = true
							c.w.report.Writes++
							c.w.judge.wrote(res, before)
							done(res, first)
						}
					})
				},
				refuse: func() { c.w.after(c.delay(), fail) },
			})
		}, func() { c.w.after(20*ms, again) })
	}
	again()
}

// tenure is a client's lease.
type tenure struct {
	*client
	id, ttl int64 // nanoseconds
	acked   int64 // when the last renewal was sent that was acknowledged
	granted int64 // when that of the grant came
	alive   bool  // for all that the client knows
	stopped bool  // the client does not renew it any more
}

// grant grants the lease once; ok is false where it exists.
func (t *tenure) grant(done func(ok bool)) {
	r := &kvpb.LeaseGrantRequest{Id: t.id, TtlMillis: t.ttl / ms}
	t.write(&command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: r}}, func(res mvcc.Result, first int64) {
		if res.Err == nil {
			id := lease.ID{Lease: t.id}
			t.w.judge.granted(id, first, t.ttl)
			t.w.report.Grants++
			t.acked, t.granted, t.alive, t.stopped = first, t.w.now, true, false
		}
		done(res.Err == nil)
	})
}

// keep renews the lease every third of its time to live until it is stopped.
func (t *tenure) keep() {
	if t.stopped || !t.alive || t.w.ending {
		return
	}
	at := t.at
	t.renew(func(ok bool) {
		d := 20 * ms
		if ok {
			d = t.acked + t.ttl/3 - t.w.now
		} else if t.stubborn && t.at != at {
			d = t.ttl // it takes a refusal to heart
		}
		t.w.after(max(0, d), t.keep)
	})
}

// renew tries once to renew the lease. Where that fails, alive tells whether
// the lease is known to have ended.
func (t *tenure) renew(done func(ok bool)) {
	sent, over := t.w.now, false
	once := func(ok bool) {
		if !over {
			over = true
			done(ok)
		}
	}
	var fail func()
	fail = t.attempt(100*ms, func(n *node, reply func(func())) {
		recorded := t.w.now
		n.renew(t.id, func(err error) {
			if err != nil && !errors.Is(err, lease.ErrNotFound) {
				t.w.after(t.delay(), fail)
				return
			}
			reply(func() {
				if err == nil {
					t.w.judge.renewed(t.id, sent, recorded, t.ttl)
					t.acked = max(t.acked, sent)
				} else if t.w.judge.dead(t.id, sent); sent >= t.granted {
					t.alive = false
				}
				once(err == nil)
			})
		})
	}, func() { once(false) })
}

func (t *tenure) revoke(done func()) {
	r := &kvpb.LeaseRevokeRequest{Id: t.id}
	t.write(&command.Command{Op: &command.Command_LeaseRevoke{LeaseRevoke: r}}, func(mvcc.Result, int64) { done() })
}

func (w *world) newClient() *client { return &client{w: w, at: w.rng.IntN(len(w.nodes))} }

// startLeases starts clients with leases and with keys that have a time to live
// of their own: the more, and the shorter, the greater the load.
func (w *world) startLeases(load int64) {
	few, many, slow := min(load, 3), 2*load, max(1, 4-load)
	for i := range few {
		w.steady(i+1, 1000*ms*slow)
	}
	for i := range many {
		t := &tenure{client: w.newClient(), id: 100 + i, ttl: w.between(500, 1200) / ms * ms * slow}
		t.stubborn = i > 0
		w.fickle(t)
	}
	for i := range many {
		t := &tenure{client: w.newClient(), id: 200 + i, ttl: w.between(500, 900) / ms * ms * slow}
		t.stubborn = true
		w.late(t)
	}
	for i := range load + 1 {
		w.putter(w.newClient(), "/ttl/"+strconv.FormatInt(i, 10), w.between(150, 400)/ms*ms*slow)
	}
}

// startLocks starts clients that want the same lock.
func (w *world) startLocks(load int64) {
	for range load + 1 {
		l := &locker{w: w}
		w.judge.lockers = append(w.judge.lockers, l)
		l.turn()
	}
}

// steady holds a lease with a key for ever.
func (w *world) steady(id, ttl int64) {
	t := &tenure{client: w.newClient(), id: id, ttl: ttl}
	t.grant(func(bool) {
		w.judge.clients[id] = true
		t.keep()
		put := &kvpb.PutRequest{Key: []byte("/steady/" + strconv.FormatInt(id, 10)), Lease: id}
		t.write(&command.Command{Op: &command.Command_Put{Put: put}}, func(res mvcc.Result, _ int64) {
			if res.Err != nil && !w.ending {
				w.fail("a put with a lease that is renewed: %v", res.Err)
			}
		})
	})
}

// fickle grants the same lease over and over: it renews it for a while, and
// grants it again about when it runs out, after revoking it or not.
func (w *world) fickle(t *tenure) {
	if w.ending {
		return
	}
	t.grant(func(ok bool) {
		if !ok {
			w.after(w.between(1, 30), func() { w.fickle(t) })
			return
		}
		if w.chance(70) {
			t.keep()
		}
		w.after(w.between(0, 3*t.ttl/ms), func() {
			t.stopped = true
			w.after(max(0, t.acked+t.ttl-w.now+w.between(-20, 60)), func() {
				if w.chance(50) {
					t.revoke(func() {})
				}
				w.fickle(t)
			})
		})
	})
}

// late renews a lease about when it runs out, or just after it has revoked it,
// and grants it again when it has ended.
func (w *world) late(t *tenure) {
	if w.ending {
		return
	}
	next := func() { w.after(max(0, t.acked+t.ttl-w.now+w.between(-30, 20)), func() { w.late(t) }) }
	if t.alive {
		t.renew(func(ok bool) {
			if ok && w.chance(10) {
				t.revoke(func() {})
				w.after(w.between(2, 20), func() { w.late(t) })
			} else if ok {
				next()
			} else {
				w.after(5*ms, func() { w.late(t) })
			}
		})
		return
	}
	t.grant(func(ok bool) {
		if ok {
			next()
		} else {
			w.after(20*ms, func() { w.late(t) })
		}
	})
}

// putter puts a key with a time to live again and again, mostly about when it
// runs out.
func (w *world) putter(c *client, key string, ttl int64) {
	if w.ending {
		return
	}
	put := &kvpb.PutRequest{Key: []byte(key), TtlMillis: ttl / ms}
	c.write(&command.Command{Op: &command.Command_Put{Put: put}}, func(res mvcc.Result, first int64) {
		if res.Err != nil {
			w.fail("a put: %v", res.Err)
		}
		id := lease.ID{Key: key}
		w.judge.granted(id, first, ttl)
		next := w.between(10, 2*ttl/ms)
		if w.chance(70) {
			next = ttl + w.between(-15, 15)
		}
		w.after(max(0, first+next-w.now), func() { w.putter(c, key, ttl) })
	})
}

// retryable: the same request may succeed later.
func retryable(err error) bool { return api.KindOf(err).Retryable() }
