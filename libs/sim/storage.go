package sim

import (
	"bytes"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

// append puts an item into the log's queue.
func (n *node) append(it member.LogItem) {
	n.log = append(n.log, it)
	n.writeLog()
}

// writeLog begins the next write of the log, unless one is under way.
func (n *node) writeLog() {
	if n.writing || len(n.log) == 0 {
		return
	}
	w, delay := member.Join(n.log, member.LogBytesMax), int64(0)
	n.writing = true
	if w.Durable() {
		delay = n.disk.delay(logWrite)
		n.disk.writing(&w.Batch)
	}
	finish := func() {
		n.disk.writing(nil)
		n.must(w.Do(n.store.Log(), appender{n}))
		n.log = n.log[w.Len():]
		n.writing = false
		n.writeLog()
	}
	n.later(delay, func() {
		if w.Installs() {
			n.apply(member.ApplyItem{Call: finish}) // while nothing is applied
		} else {
			finish()
		}
	})
}

// appender is a node as the owner of its log.
type appender struct{ *node }

func (a appender) Send(msgs []*raftpb.Message) { a.send(msgs) }

func (a appender) Appended(tasks []*replica.AppendTask) {
	a.in.Appended = append(a.in.Appended, tasks...)
}

func (a appender) Install(b store.Batch) error {
	m, opened, err := member.Install(a.store, b)
	if err != nil {
		return err
	}
	a.w.tell("node %d installs the state of entry %d", a.id, b.Install.Snapshot.GetIndex())
	a.w.report.Snapshots++
	a.receiving, a.machine = false, m
	a.in.Applied = append(a.in.Applied, opened)
	a.w.judge.agrees(a.node)
	a.published(m.Published(), nil)
	return nil
}

// apply puts an item into the state machine's queue.
func (n *node) apply(it member.ApplyItem) {
	n.todo = append(n.todo, it)
	n.applyNext()
}

// applyNext goes on with the queue, unless something is being applied.
func (n *node) applyNext() {
	for !n.busy && len(n.todo) > 0 {
		tasks := member.Run(n.todo, member.ApplyEntriesMax)
		if len(tasks) == 0 {
			call := n.todo[0].Call
			n.todo = n.todo[1:]
			call()
			continue
		}
		n.todo = n.todo[len(tasks):]
		n.busy = true
		n.later(n.disk.delay(stateWrite), func() {
			_, err := member.Apply(n.machine, tasks, applier{n})
			n.must(err)
			n.busy = false
			n.applyNext()
		})
	}
}

// applier is a node as the audience of its state machine.
type applier struct{ *node }

func (a applier) Applied(done member.Applied) {
	a.w.judge.reached(a.node, done.Tasks)
	a.in.Applied = append(a.in.Applied, done)
}

func (a applier) Answer(tag any, res mvcc.Result) { tag.(*request).applied(res) }

func (a applier) Published(p *mvcc.Published, events []*kvpb.Event) { a.published(p, events) }

// published tells those who wait for the state. Events are nil where the whole
// state was exchanged.
func (n *node) published(p *mvcc.Published, events []*kvpb.Event) {
	for _, ev := range events {
		n.locks.Event(ev)
	}
	if n.w.watching != nil {
		n.w.watching.feeds[n].published(p, events)
	}
	for _, reads := range n.waiting.Published(p) {
		serve(reads)
	}
}

func serve(reads []replica.Read) {
	for _, rd := range reads {
		rd.Tag.(*request).done()
	}
}

// checkpoint takes one, as the storage node's keeper does.
func (n *node) checkpoint() {
	if n.checkpointing {
		return
	}
	n.checkpointing = true
	c := member.NewCheckpoint(n.machine.Published(), n.store)
	if !c.Needed() {
		n.release(c)
		return
	}
	// A flush may take in what was written after it began, or nothing of that.
	record, early := func() {}, n.w.chance(50)
	sync := func() {
		more, err := c.Sync()
		n.must(err)
		if !more {
			n.checkpointing = false
			return
		}
		record = func() {
			n.call(func() { n.append(c.Record(n.member, func() { n.release(c) })) })
		}
	}
	if early {
		sync()
	}
	n.later(n.disk.delay(stateSync), func() {
		if !early {
			sync()
		}
		record()
	})
}

// release lets go of what a checkpoint has made unnecessary.
func (n *node) release(c *member.Checkpoint) {
	c.Release()
	var trim func()
	trim = func() {
		more, err := c.Trim(n.machine)
		n.must(err)
		if more {
			n.apply(member.ApplyItem{Call: trim})
			return
		}
		n.call(func() {
			keep := n.w.o.retention()
			if it := c.Truncate(n.member, keep); it != nil {
				n.append(*it)
			}
			n.checkpointing = false
			n.w.report.Checkpoints++
		})
	}
	n.apply(member.ApplyItem{Call: trim})
}

// sendTimeout is how long a transfer may take before its sender gives it up.
const sendTimeout = 10_000 * ms

// sendState sends the state that m describes to a follower. The transfer goes
// past the network's queues, but not over a link that is cut.
func (n *node) sendState(m *raftpb.Message) {
	over, to := false, n.w.nodes[m.GetTo()-1]
	sent := func(ok bool) {
		if !over {
			over = true
			n.call(func() { n.replica.SnapshotSent(to.id, ok) })
		}
	}
	m = proto.CloneOf(m)
	n.later(n.disk.delay(stateCopy), func() {
		var b bytes.Buffer
		if err := member.Export(&b, n.store, m); errors.Is(err, store.ErrCorrupt) {
			n.must(err)
		} else if err != nil || n.w.net.IsCut(cluster, n.id, to.id) {
			sent(false)
			return
		}
		n.later(sendTimeout, func() { sent(false) })
		to.put(func() {
			to.receiveState(n.id, m, b.Bytes(), func(ok bool) { n.later(ms, func() { sent(ok) }) })
		})
	})
}

// receiveState takes a state that a leader sends.
func (n *node) receiveState(from uint64, m *raftpb.Message, b []byte, reply func(ok bool)) {
	if n.receiving {
		reply(false)
		return
	}
	n.receiving = true
	n.later(n.disk.delay(stateCopy), func() {
		received, err := member.Import(bytes.NewReader(b), n.store, m, from, n.id)
		if err == nil && n.w.net.IsCut(cluster, from, n.id) {
			// The connection broke before the end.
			err = errors.Join(errCut, received.Abort())
		}
		if err != nil {
			n.receiving = false
			reply(false)
			return
		}
		n.call(func() { n.member.SnapshotReceived(received) })
		reply(true)
	})
}

// errCut ends a transfer over a link that was cut meanwhile.
var errCut = errors.New("the connection was closed")
