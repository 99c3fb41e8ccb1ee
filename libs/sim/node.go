package sim

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// node is one storage node: the crank of the real one (member), turned in
// virtual time. What the real one has goroutines for are queues here, and
// agenda items that work them off.
type node struct {
	w       *world
	id      uint64
	store   *memstore.Store
	up      bool
	life    int // counts its starts: what was under way in an earlier one is gone
	member  *member.Member
	replica *replica.Replica // the member's
	clock   *member.Leases   // the member's
	machine *mvcc.Machine
	net     *membus.Node
	role    replica.Role
	waiting member.Waiting
	locks   *lock.Registry
	waiters map[uint64]*lockRequest
	time    clockwork
	disk    disk

	in      member.Inputs // what came in since the last step
	stepped int64
	wake    int64             // when the next step is due without inputs
	batch   []*raftpb.Message // room for what is being sent
	log     []member.LogItem  // its queue
	writing bool
	todo    []member.ApplyItem // the state machine's queue
	busy    bool               // it applies
	// checkpointing: one is being taken. receiving: so is a snapshot, or it waits
	// to be installed.
	checkpointing, receiving bool

	outside   bool              // it is not among those that are healed first
	committed uint64            // as it was seen last
	lost      []*memstore.Store // of the disks that it lost
	damage    error             // that raft has met in the log
	// membership is on the disk as well; rejoining is not nil while a node that
	// has lost its data is no member.
	membership joining.Membership
	rejoining  *rejoin

	paused bool
	socket []func() // what came from the network during a pause
	held   []func() // what the node itself would have done meanwhile
}

func (n *node) start() {
	n.life++
	n.damage = nil
	at := n.store.Log().Checkpoint()
	machine, opened, err := member.Open(n.store, at)
	n.must(err)
	n.member, err = member.New(replica.Config{
		ID: n.id, Nonce: n.w.rng.Uint64(), Log: watchedLog{n.store.Log(), n}, Applied: at,
		Rand: n.w.rng.Uint64, WallClock: func() int64 { return n.time.wall(n.w.now) }, Logger: quiet{},
		Tuning: n.w.o.tuning(), Replaced: n.membership.State == joining.StateReplaced, MinTerm: n.membership.MinTerm,
	}, opened.Clock, n.now())
	n.must(err)
	n.replica, n.clock, n.machine = n.member.Replica, n.member.Leases, machine
	n.up, n.paused, n.role = true, false, replica.Role{}
	n.in, n.waiting, n.socket, n.held = member.Inputs{}, member.Waiting{}, nil, nil
	n.log, n.writing, n.todo, n.busy, n.checkpointing, n.receiving = nil, false, nil, false, false, false
	n.locks, n.waiters = lock.NewRegistry(), map[uint64]*lockRequest{}
	n.wake = n.w.now
	n.w.judge.agrees(n)
	n.net = n.w.net.Join(cluster, n.id, n)
	n.vouch()
}

// crash ends the node: as a power cut does, or as the end of its process.
func (n *node) crash(power bool) {
	n.up, n.role = false, replica.Role{}
	n.net.Close()
	n.lose(power)
}

// fail ends the node because of an error of its disk, as it ends its process.
func (n *node) fail(err error) {
	n.crash(false)
	n.w.stopped(n, err)
}

// now is the node's own monotonic clock.
func (n *node) now() int64 { return n.time.show(n.w.now) }

func (n *node) must(err error) {
	if err != nil {
		panic(halt{err})
	}
}

// Receive and PeerLost are the network's.
func (n *node) Receive(from uint64, msgs []*raftpb.Message) {
	if n.up && !n.paused {
		n.in.Frames = append(n.in.Frames, member.Frame{From: from, Msgs: msgs})
		return
	}
	n.put(func() { n.in.Frames = append(n.in.Frames, member.Frame{From: from, Msgs: msgs}) })
}

func (n *node) PeerLost(id uint64) {
	n.put(func() { n.in.Lost = append(n.in.Lost, id) })
}

// arrive takes something from the network that the next step is to do.
func (n *node) arrive(do func()) { n.put(func() { n.call(do) }) }

// call has the next step do something.
func (n *node) call(do func()) { n.in.Calls = append(n.in.Calls, do) }

// put adds what comes from the network to the inputs.
func (n *node) put(add func()) {
	switch {
	case !n.up:
	case n.paused:
		n.socket = append(n.socket, add)
	default:
		add()
	}
}

// later does something of the node's own after a while, unless it is down by
// then; a paused node does it when it resumes.
func (n *node) later(d int64, do func()) {
	life := n.life
	n.w.after(d, func() {
		switch {
		case !n.up || life != n.life:
		case n.paused:
			n.held = append(n.held, do)
		default:
			n.guard(do)
		}
	})
}

func (n *node) pause() { n.paused = true }

// resume lets the node go on. What waits in its sockets is read over a while,
// so that the first steps know nothing of it.
func (n *node) resume() {
	n.paused = false
	at := int64(0)
	for _, add := range n.socket {
		at += n.w.rng.Int64N(2 * ms)
		n.later(min(at, 200*ms), func() { n.put(add) })
	}
	held, life := n.held, n.life
	n.socket, n.held = nil, nil
	for _, do := range held {
		if n.up && n.life == life {
			n.guard(do)
		}
	}
}

// idle: nothing has come in since the last step.
func (n *node) idle() bool {
	in := &n.in
	return len(in.Frames)+len(in.Lost)+len(in.Appended)+len(in.Applied)+len(in.Calls) == 0
}

// due is when the node has something to do.
func (n *node) due() int64 {
	if !n.up || n.paused {
		return 1 << 62
	}
	if !n.idle() {
		return max(n.w.now, n.stepped+stepTakes)
	}
	return max(n.wake, n.stepped+ms/10)
}

func (n *node) step() {
	n.stepped = n.w.now
	in := n.in
	n.in = member.Inputs{}
	n.member.Step(n.now(), in)
	for {
		n.perform(n.member.Effects())
		if !n.member.Pending() {
			break
		}
	}
	for _, rd := range n.waiting.Expire(n.now()) {
		rd.Tag.(*request).refuse()
	}
	n.must(n.damage)
	n.serveLocks()
	n.wake = n.time.when(n.member.Wake())
}

// stepTakes is how long a step takes: what comes in meanwhile waits for the next.
const stepTakes = 50 * us

func (n *node) perform(e member.Effects) {
	if e.Role != nil {
		n.changeRole(*e.Role)
	}
	n.send(e.Send)
	if e.Log != nil {
		n.append(*e.Log)
	}
	if e.Apply != nil {
		n.apply(member.ApplyItem{Task: e.Apply})
	}
	for _, m := range e.Snapshots {
		n.sendState(m)
	}
	if e.Unused != nil {
		n.must(e.Unused.Abort())
		n.receiving = false
	}
	for _, rel := range e.Reads {
		if n.waiting.Await(member.Awaited{Since: n.now(), Index: rel.Index, Reads: rel.Reads}, n.machine.Published()) {
			serve(rel.Reads)
		}
	}
	for _, rd := range e.RefusedReads {
		rd.Tag.(*request).refuse()
	}
	for _, rf := range e.Refused {
		rf.Proposal.Tag.(*request).never()
	}
	for _, p := range e.Expired {
		p.Tag.(*request).refuse()
	}
}

func (n *node) changeRole(role replica.Role) {
	was := n.role
	n.role = role
	n.w.judge.leads(n, role)
	switch {
	case role.Serving && (!was.Serving || role.Term != was.Term):
		n.w.report.Leaders++
	case !role.Serving && was.Serving:
		for _, id := range n.locks.Clear() {
			n.answer(id, nil, lock.ErrMoved())
		}
	}
}

// send gives messages to the network, those to one peer as one batch.
func (n *node) send(msgs []*raftpb.Message) {
	if len(msgs) == 0 {
		return
	}
	for _, other := range n.w.nodes {
		to := other.id
		batch := n.batch[:0]
		for _, m := range msgs {
			if m.GetTo() == to {
				batch = append(batch, m)
			}
		}
		if n.batch = batch; len(batch) > 0 && !n.net.Send(to, batch) {
			n.call(func() { n.replica.Unreachable(to) })
		}
	}
}

// quiet drops raft's chatter and keeps its panics.
type quiet struct{ raft.Logger }

func (quiet) Debug(...any)                   {}
func (quiet) Debugf(string, ...any)          {}
func (quiet) Info(...any)                    {}
func (quiet) Infof(string, ...any)           {}
func (quiet) Warning(...any)                 {}
func (quiet) Warningf(string, ...any)        {}
func (quiet) Error(...any)                   {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
