package sim

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// kvClient puts, deletes, compares and reads keys that all its like want, one
// thing after another.
type kvClient struct {
	*client
	kv       *kv
	number   int
	busy     bool
	finished bool                      // it has read everything, at the end
	seen     map[string]*kvpb.KeyValue // keys as it saw them last
	revision int64                     // the newest that it saw
}

// startKV starts clients of the store: more, and quicker ones, the greater the
// load.
func (w *world) startKV(load int64) {
	w.kv = &kv{w: w}
	for i := range 2 + load {
		c := &kvClient{client: w.newClient(), kv: w.kv, number: int(i), seen: map[string]*kvpb.KeyValue{}}
		c.stubborn = w.chance(30)
		w.kv.clients = append(w.kv.clients, c)
		c.rest()
	}
}

// rest lets a client think before its next request.
func (c *kvClient) rest() {
	c.busy = false
	c.w.after(c.w.between(0, c.w.o.ThinkMillis), c.next)
}

func (c *kvClient) next() {
	c.busy = true
	switch {
	case c.w.ending && c.finished:
		c.busy = false
		return
	case c.w.ending: // what everything has come to
		c.finished = true
		c.ask(&asking{request: &kvpb.RangeRequest{Key: []byte("/"), RangeEnd: []byte{0}}})
		return
	}
	a := &asking{request: c.request()}
	if q, ok := a.request.(*kvpb.PutRequest); ok && c.w.chance(20) {
		revision := c.seen[string(q.Key)].GetModRevision()
		a.ifRevision = &revision
	}
	if a.changes() {
		// A compaction without an id would be taken for somebody else's.
		if _, ok := a.request.(*kvpb.CompactRequest); ok || c.w.chance(90) {
			a.msgID = kvPrefix + fmt.Sprint(c.w.id())
		}
		a.patience = c.w.rng.IntN(4)
	}
	c.ask(a)
}

// asking is one request until its client is done with it.
type asking struct {
	request    proto.Message
	ifRevision *int64 // Kv-If-Revision
	msgID      string
	patience   int   // so often it is sent again after silence, while the client waits
	op         int   // its place in the record
	sent       int64 // when it was sent last
	silent     bool  // an attempt before this one had no answer: the outcome is open
	over       bool  // the client waits for it no more
	answered   bool
}

// ask sends a request, and again as often as the client has patience: always at
// the end, or where it would have no effect. An answer that comes after that is
// recorded all the same.
func (c *kvClient) ask(a *asking) {
	a.op = c.kv.begin(c.number, a)
	c.attemptKV(a)
}

func (c *kvClient) attemptKV(a *asking) {
	a.sent = c.w.now
	sent := a.sent
	certain := false
	var fail func()
	fail = c.attempt(c.w.between(100, 600), func(n *node, reply func(func())) {
		n.serveKV(a, &kvAnswer{
			done: func(resp proto.Message, err error, repeated bool) {
				reply(func() { c.answered(a, sent, resp, err, repeated) })
			},
			refused: func() { c.w.after(c.delay(), func() { certain = true; fail() }) },
			unknown: func() { c.w.after(c.delay(), fail) },
		})
	}, func() {
		if certain {
			c.refused(a)
		} else {
			c.silence(a)
		}
	})
	if a.msgID != "" && c.w.chance(3) { // twice at once, as a network may do it
		a.silent = true
		n := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
		c.w.after(c.delay(), func() { n.arrive(func() { n.serveKV(a, &kvAnswer{}) }) })
	}
}

// answered takes an answer, which need not be the first.
func (c *kvClient) answered(a *asking, sent int64, resp proto.Message, err error, repeated bool) {
	if a.answered || a.over {
		c.kv.late(a, sent, resp, err, repeated)
		return
	}
	a.answered, a.over = true, true
	c.kv.end(a, resp, err, repeated)
	c.learn(resp)
	c.done(a)
}

// refused takes that an attempt certainly had no effect.
func (c *kvClient) refused(a *asking) {
	switch {
	case a.over:
	case !a.silent && c.w.chance(30) && !c.w.ending:
		a.over = true
		c.kv.end(a, nil, api.Errorf(api.KindNoLeader, "refused"), false)
		c.done(a)
	default:
		c.again(a)
	}
}

// silence takes that an attempt had no answer.
func (c *kvClient) silence(a *asking) {
	if a.over {
		return
	}
	a.silent = true
	c.again(a)
}

func (c *kvClient) again(a *asking) {
	repeatable := a.msgID != "" || !a.changes()
	if repeatable && (a.patience > 0 || c.w.ending) || !a.silent {
		a.patience--
		c.w.after(20*ms, func() {
			if !a.over {
				c.attemptKV(a)
			}
		})
		return
	}
	a.over = true
	c.done(a)
}

// done lets the client go on. What it has given up, and now and then what it was
// told already, it may take up again much later.
func (c *kvClient) done(a *asking) {
	if a.msgID != "" && (!a.answered && c.w.chance(50) || c.w.chance(3)) {
		c.kv.pending++
		c.w.after(c.w.between(500, 15_000), func() {
			again := &asking{request: a.request, ifRevision: a.ifRevision, msgID: a.msgID, silent: true, patience: 5}
			other := &kvClient{client: c.w.newClient(), kv: c.kv, number: c.kv.stranger(), seen: map[string]*kvpb.KeyValue{}, finished: true}
			other.ask(again)
		})
	}
	if c.number >= strangers {
		c.kv.pending--
		return
	}
	c.rest()
}

// kvAnswer is who waits for an answer; nil functions do not.
type kvAnswer struct {
	done    func(resp proto.Message, err error, repeated bool)
	refused func() // certainly without effect
	unknown func()
}

// serveKV answers a request as the storage node does.
func (n *node) serveKV(a *asking, to *kvAnswer) {
	tell := func(do func()) {
		if do != nil {
			do()
		}
	}
	answer := func(resp proto.Message, err error, repeated bool) {
		if to.done != nil {
			to.done(resp, err, repeated)
		}
	}
	c := &command.Command{MsgId: a.msgID, IfRevision: a.ifRevision}
	switch q := a.request.(type) {
	case *kvpb.RangeRequest:
		n.serveRead(q.Serializable, q.MinRevision, func() {
			resp, err := n.machine.Published().Range(q)
			n.tellRead(answer, resp, err)
		}, func() { tell(to.refused) })
		return
	case *kvpb.PutRequest:
		c.Op = &command.Command_Put{Put: q}
	case *kvpb.DeleteRangeRequest:
		c.Op = &command.Command_DeleteRange{DeleteRange: q}
	case *kvpb.CompactRequest:
		c.Op = &command.Command_Compact{Compact: q}
	case *kvpb.TxnRequest:
		if mvcc.ReadOnly(q) {
			n.serveRead(false, 0, func() {
				resp, err := n.machine.Published().Txn(q)
				n.tellRead(answer, resp, err)
			}, func() { tell(to.refused) })
			return
		}
		c.Op = &command.Command_Txn{Txn: q}
	}
	n.write(c, &request{
		applied: func(res mvcc.Result) {
			if res.Err != nil {
				answer(nil, res.Err, res.Duplicate)
			} else {
				answer(res.Response, nil, res.Duplicate)
			}
		},
		refused: func() { tell(to.refused) },
		refuse:  func() { tell(to.unknown) },
	})
}

// serveRead routes a read to a quorum round, or to the state as it is.
func (n *node) serveRead(serializable bool, revision int64, done, refuse func()) {
	r := &request{done: done, refuse: refuse}
	if !serializable {
		n.read(r)
		return
	}
	reads := []replica.Read{n.reading(r)}
	if n.waiting.Await(member.Awaited{Since: n.now(), Revision: revision, Reads: reads}, n.machine.Published()) {
		serve(reads)
	}
}

// tellRead sorts an answer of the state's from an error that stops the node.
func (n *node) tellRead(answer func(proto.Message, error, bool), resp proto.Message, err error) {
	e := (*api.Error)(nil)
	switch {
	case err == nil:
		answer(resp, nil, false)
	case errors.As(err, &e):
		answer(nil, err, false)
	default:
		n.must(err)
	}
}

// learn keeps what a client saw of keys, for later compares.
func (c *kvClient) learn(resp proto.Message) {
	if resp == nil {
		return
	}
	switch p := resp.(type) {
	case *kvpb.RangeResponse:
		c.revision = max(c.revision, p.Revision)
		for _, kv := range p.Kvs {
			c.seen[string(kv.Key)] = kv
		}
	case *kvpb.PutResponse:
		c.revision = max(c.revision, p.Revision)
		if p.Kv != nil {
			c.seen[string(p.Kv.Key)] = p.Kv
		}
	}
}
