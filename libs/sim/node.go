package sim

import (
	"bytes"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// node is one storage node.
type node struct {
	w       *world
	id      uint64
	store   *memstore.Store
	up      bool
	life    int // counts its starts: what was under way in an earlier one is gone
	replica *replica.Replica
	machine *mvcc.Machine
	net     *membus.Node
	role    replica.Role
	clock   *lease.Clock
	locks   *lock.Registry
	waiters map[uint64]*lockRequest

	mail     []func() // what came in since the last step
	stepped  int64
	hard     *raftpb.HardState
	incoming store.Incoming // a state that was received
	reads    []released
	inFlight int // proposals of expiry
	// When the log and the state will have done what they were given: each
	// does one thing after another.
	logFree, stateFree int64

	paused bool
	socket []func() // what came from the network during a pause
	held   []func() // what the node itself would have done meanwhile
}

type released struct {
	index uint64
	do    func()
}

func (n *node) start() {
	n.life++
	at := n.store.Log().Checkpoint()
	r, err := replica.New(replica.Config{
		ID: n.id, Nonce: n.w.rng.Uint64(), Log: n.store.Log(), Applied: at,
		Rand: n.w.rng.Uint64, WallClock: func() int64 { return n.w.now }, Logger: quiet{},
	}, n.w.now)
	n.must(err)
	n.replica, n.up, n.paused, n.inFlight = r, true, false, 0
	n.open(at)
	n.role, n.hard, n.mail, n.reads, n.socket, n.held = replica.Role{}, nil, nil, nil, nil, nil
	n.locks, n.waiters = lock.NewRegistry(), map[uint64]*lockRequest{}
	n.net = n.w.net.Join(cluster, n.id, n)
}

// open opens the state as of an index, and begins the clock with its timers.
func (n *node) open(at uint64) {
	var err error
	n.machine, err = mvcc.Open(n.store.State(), at)
	n.must(err)
	n.clock = lease.New()
	n.must(n.machine.Published().Timers(func(t mvcc.Timer) error { n.keepTime(t); return nil }))
	if n.w.bugs.ClockNeverStops {
		n.clock.Lead(1, n.w.now)
	}
}

// crash ends the node as a power cut does.
func (n *node) crash() {
	n.up, n.role = false, replica.Role{}
	n.net.Close()
	n.store = n.store.Crash(n.w.rng)
}

func (n *node) must(err error) {
	if err != nil {
		n.w.fail("node %d: %v", n.id, err)
	}
}

// keepTime hands a timer of the state to the clock.
func (n *node) keepTime(t mvcc.Timer) {
	id := lease.ID{Lease: t.Lease, Key: string(t.Key)}
	if t.Gone {
		n.clock.Cancel(id)
	} else {
		n.clock.Set(lease.Timer{ID: id, TTLMillis: t.TTLMillis, Generation: t.Generation})
	}
}

// Receive and PeerLost are the network's.
func (n *node) Receive(from uint64, msgs []*raftpb.Message) {
	n.arrive(func() { n.replica.Receive(from, msgs) })
}

func (n *node) PeerLost(id uint64) { n.arrive(func() { n.replica.PeerLost(id) }) }

// arrive takes something from the network.
func (n *node) arrive(do func()) {
	switch {
	case !n.up:
	case n.paused:
		n.socket = append(n.socket, do)
	default:
		n.mail = append(n.mail, do)
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
			do()
		}
	})
}

func (n *node) pause() { n.paused = true }

// resume lets the node go on. What waits in its sockets is read over a while,
// so that the first steps know nothing of it.
func (n *node) resume() {
	n.paused = false
	at := int64(0)
	for _, do := range n.socket {
		at += n.w.rng.Int64N(2 * ms)
		n.later(min(at, 200*ms), func() { n.arrive(do) })
	}
	for _, do := range n.held {
		do()
	}
	n.socket, n.held = nil, nil
}

// due is when the node has something to do.
func (n *node) due() int64 {
	if !n.up || n.paused {
		return 1 << 62
	}
	if len(n.mail) > 0 {
		return n.w.now
	}
	at := n.replica.Wake()
	if next := n.clock.Next(); next != 0 && n.role.Serving {
		at = min(at, next)
	}
	return max(at, n.stepped+ms/10)
}

func (n *node) step() {
	n.leap()
	n.stepped = n.w.now
	n.replica.Advance(n.w.now)
	mail := n.mail
	n.mail = nil
	for _, do := range mail {
		do()
	}
	n.clock.Advance(n.w.now)
	n.expire()
	for {
		n.perform(n.replica.Effects())
		if !n.replica.Pending() {
			break
		}
	}
	n.serveReads()
	n.serveLocks()
}

func (n *node) perform(e replica.Effects) {
	if e.Role != nil {
		n.changeRole(*e.Role)
	}
	n.send(e.Send)
	if t := e.Append; t != nil {
		delay := int64(0)
		if t.Sync {
			delay = n.w.between(1, 4)
		}
		n.logFree = max(n.logFree, n.w.now+delay)
		n.later(n.logFree-n.w.now, func() { n.append(t) })
	}
	if t := e.Apply; t != nil {
		delay := n.w.between(0, 2)
		if n.w.chance(5) {
			delay *= 20
		}
		n.stateFree = max(n.stateFree, n.w.now+delay)
		n.later(n.stateFree-n.w.now, func() { n.apply(t) })
	}
	for _, m := range e.Snapshots {
		n.sendState(m)
	}
	for _, rel := range e.Reads {
		for _, rd := range rel.Reads {
			n.reads = append(n.reads, released{rel.Index, rd.Tag.(*request).done})
		}
	}
	for _, rd := range e.RefusedReads {
		rd.Tag.(*request).refuse()
	}
	for _, rf := range e.Refused {
		rf.Proposal.Tag.(*request).refuse()
	}
	for _, p := range e.Expired {
		p.Tag.(*request).refuse()
	}
}

func (n *node) changeRole(role replica.Role) {
	was := n.role
	n.role = role
	switch {
	case role.Serving && (!was.Serving || role.Term != was.Term):
		n.w.report.Leaders++
		n.lead(role.Term)
	case !role.Serving && was.Serving:
		n.follow()
	}
}

func (n *node) send(msgs []*raftpb.Message) {
	for _, m := range msgs {
		if !n.net.Send(m.GetTo(), []*raftpb.Message{m}) {
			n.replica.Unreachable(m.GetTo())
		}
	}
}

// append writes to the log.
func (n *node) append(t *replica.AppendTask) {
	if t.Hard != nil {
		n.hard = t.Hard
	}
	if t.Sync {
		b := store.Batch{Hard: n.hard, Entries: t.Entries}
		if t.Snapshot != nil {
			b.Install = &store.Install{Snapshot: t.Snapshot, State: n.incoming}
		}
		n.must(n.store.Log().Append(b))
		n.hard = nil
	}
	if t.Snapshot != nil {
		n.open(t.Snapshot.GetIndex())
	}
	n.mail = append(n.mail, func() {
		n.send(t.Remote)
		n.replica.Appended(t)
	})
}

// sendState copies the state to a follower that raft takes for one that lags
// behind the log. That may be wrong: the log is kept whole.
func (n *node) sendState(m *raftpb.Message) {
	var muts []store.Mutation
	view, err := n.store.State().Read(store.EndOf(m.GetSnapshot().GetMetadata().GetIndex()))
	n.must(err)
	n.must(view.Versions(func(v store.Mutation) error {
		v.Key, v.Value = bytes.Clone(v.Key), bytes.Clone(v.Value)
		muts = append(muts, v)
		return nil
	}))
	view.Close()
	to := n.w.nodes[m.GetTo()-1]
	n.later(n.w.between(5, 50), func() {
		to.arrive(func() {
			var err error
			to.incoming, err = to.store.Receive()
			to.must(err)
			to.must(to.incoming.Write(muts))
			to.must(to.incoming.Finish())
			to.replica.SnapshotReceived(m)
		})
		n.mail = append(n.mail, func() { n.replica.SnapshotSent(to.id, to.up) })
	})
}

// checkpoint makes the state durable up to here, so that a restart begins here,
// with the timers that the state has.
func (n *node) checkpoint() {
	if n.logFree >= n.w.now || len(n.mail) > 0 {
		return // the record must not overtake the commit index that it relies on
	}
	n.must(n.store.State().Sync())
	n.must(n.store.Log().Append(store.Batch{Checkpoint: n.machine.Published().Index, Hard: n.hard}))
	n.hard = nil
}

// serveReads lets the reads through whose index is applied.
func (n *node) serveReads() {
	kept := n.reads[:0]
	for _, r := range n.reads {
		if n.machine.Published().Index < r.index {
			kept = append(kept, r)
		} else {
			r.do()
		}
	}
	n.reads = kept
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
