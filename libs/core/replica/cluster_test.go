package replica_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/cryptotest"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

const (
	clusterID = 7
	ms        = int64(1_000_000)
)

// cluster is a whole cluster in one goroutine: replicas over memory stores and
// a seeded network, with virtual time.
type cluster struct {
	t     *testing.T
	rng   *rand.Rand
	net   *membus.Net
	now   int64
	nodes map[uint64]*node
	ids   []uint64

	log                                map[uint64]string // what was applied at an index, the same everywhere
	acked                              map[string]uint64 // acknowledged command -> index
	highest                            uint64            // highest acknowledged index
	leaders                            map[uint64]uint64 // term -> leader
	refused, unknown, reads, snapshots int
}

// node is one member; replica is nil while it is down.
type node struct {
	c       *cluster
	id      uint64
	store   *memstore.Store
	replica *replica.Replica
	net     *membus.Node
	role    replica.Role
	applied uint64
	disk    []pendingAppend
	hung    bool // its disk
	asleep  bool // its process; what is sent to it is lost
	hard    *raftpb.HardState
	waiting []waitingRead
	sending *raftpb.Message // the snapshot under way from here
	arrives int64

	replaced bool
	minTerm  uint64
	retain   replica.Retention
}

type pendingAppend struct {
	at   int64
	task *replica.AppendTask
}

type waitingRead struct {
	index uint64
	read  replica.Read
}

func newCluster(t *testing.T, seed uint64, size int) *cluster {
	cryptotest.SetGlobalRandom(t, seed)
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), net: membus.New(seed), now: 1,
		nodes: map[uint64]*node{}, log: map[uint64]string{}, acked: map[string]uint64{}, leaders: map[uint64]uint64{}}
	one := uint64(1)
	conf := &raftpb.ConfState{}
	for i := range size {
		conf.Voters = append(conf.Voters, uint64(i+1))
	}
	c.ids = conf.Voters
	for _, id := range c.ids {
		n := &node{c: c, id: id, retain: replica.Retention{Entries: 1000, EntryBytes: 1 << 30, Bytes: 1 << 30},
			store: memstore.New(&raftpb.SnapshotMetadata{ConfState: conf, Index: &one, Term: &one})}
		c.nodes[id] = n
		n.start()
	}
	return c
}

func (n *node) start() {
	n.applied = n.store.Log().Checkpoint()
	n.role, n.disk, n.hung, n.waiting, n.hard, n.sending = replica.Role{}, nil, false, nil, nil, nil
	r, err := replica.New(replica.Config{
		ID: n.id, Nonce: n.c.rng.Uint64(), Log: n.store.Log(), Applied: n.applied,
		Replaced: n.replaced, MinTerm: n.minTerm, Rand: n.c.rng.Uint64, WallClock: func() int64 { return n.c.now }, Logger: quiet{},
	}, n.c.now)
	if err != nil {
		n.c.t.Fatalf("node %d: %v", n.id, err)
	}
	n.replica = r
	n.net = n.c.net.Join(clusterID, n.id, n)
}

// crash ends a node as a power cut does.
func (n *node) crash() {
	n.replica = nil
	n.net.Close()
	n.store = n.store.Crash(n.c.rng)
}

func (n *node) Receive(from uint64, msgs []*raftpb.Message) {
	if n.replica != nil && !n.asleep {
		n.replica.Receive(from, msgs)
	}
}

func (n *node) PeerLost(id uint64) {
	if n.replica != nil {
		n.replica.PeerLost(id)
	}
}

// run lets time pass, in steps of a millisecond.
func (c *cluster) run(d int64) {
	for end := c.now + d; c.now < end; {
		c.now += ms
		c.net.Deliver(c.now)
		for _, id := range c.ids {
			if n := c.nodes[id]; n.replica != nil && !n.asleep {
				n.step()
			}
		}
	}
}

// until lets time pass until ok holds, for a minute at most.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	for end := c.now + 60_000*ms; !ok(); c.run(ms) {
		if c.now > end {
			c.t.Fatalf("%s: not after a minute", what)
		}
	}
}

func (n *node) step() {
	n.replica.Advance(n.c.now)
	n.stream()
	for len(n.disk) > 0 && n.disk[0].at <= n.c.now && !n.hung {
		t := n.disk[0].task
		n.disk = n.disk[1:]
		n.write(t)
	}
	for {
		n.perform(n.replica.Effects())
		if !n.replica.Pending() {
			return
		}
	}
}

// effects is the append of the next step, with all that it is to send.
func (n *node) effects() *replica.AppendTask {
	e := n.replica.Effects()
	if e.Append == nil {
		return &replica.AppendTask{Remote: e.Send}
	}
	e.Append.Remote = append(e.Append.Remote, e.Send...)
	return e.Append
}

func (n *node) perform(e replica.Effects) {
	c := n.c
	if e.Role != nil {
		n.role = *e.Role
		if n.role.Leading {
			if other, ok := c.leaders[n.role.Term]; ok && other != n.id {
				c.t.Fatalf("two leaders in term %d: %d and %d", n.role.Term, other, n.id)
			}
			c.leaders[n.role.Term] = n.id
		}
	}
	n.send(e.Send)
	if e.Append != nil {
		delay := int64(0)
		if e.Append.Sync {
			delay = ms + c.rng.Int64N(3*ms)
		}
		n.disk = append(n.disk, pendingAppend{c.now + delay, e.Append})
	}
	if e.Apply != nil {
		n.apply(e.Apply)
	}
	for _, m := range e.Snapshots {
		n.sending, n.arrives = m, c.now+100*ms
	}
	for _, rel := range e.Reads {
		for _, rd := range rel.Reads {
			n.waiting = append(n.waiting, waitingRead{rel.Index, rd})
		}
	}
	n.serveReads()
	c.refused += len(e.Refused)
	c.unknown += len(e.Expired)
}

func (n *node) send(msgs []*raftpb.Message) {
	for _, m := range msgs {
		if !n.net.Send(m.GetTo(), []*raftpb.Message{m}) {
			n.replica.Unreachable(m.GetTo())
		}
	}
}

func (n *node) write(t *replica.AppendTask) {
	if t.Hard != nil {
		n.hard = t.Hard
	}
	if t.Sync {
		b := store.Batch{Hard: n.hard, Entries: t.Entries}
		if t.Snapshot != nil {
			in, err := n.store.Receive()
			if err == nil {
				err = in.Finish()
			}
			if err != nil {
				n.c.t.Fatal(err)
			}
			b.Install = &store.Install{Snapshot: t.Snapshot, State: in}
			n.applied = t.Snapshot.GetIndex()
			n.c.snapshots++
		}
		if err := n.store.Log().Append(b); err != nil {
			n.c.t.Fatalf("node %d: append: %v", n.id, err)
		}
		n.hard = nil
	}
	n.send(t.Remote)
	n.replica.Appended(t)
}

func (n *node) apply(t *replica.ApplyTask) {
	c := n.c
	for _, e := range t.Entries {
		index := e.Entry.GetIndex()
		if index != n.applied+1 {
			c.t.Fatalf("node %d applies %d after %d", n.id, index, n.applied)
		}
		n.applied = index
		got := fmt.Sprintf("%d %x", e.Entry.GetTerm(), e.Entry.GetData())
		if want, ok := c.log[index]; ok && want != got {
			c.t.Fatalf("node %d applies another entry at %d", n.id, index)
		}
		c.log[index] = got
		if len(e.Proposals) > 0 && e.Header.Count != len(e.Proposals) {
			c.t.Fatalf("entry %d has %d commands and %d proposals", index, e.Header.Count, len(e.Proposals))
		}
		for i, p := range e.Proposals {
			if _, commands, err := rawCommands(e.Entry.GetData()); err != nil || string(commands[i]) != string(p.Command) {
				c.t.Fatalf("proposal %q is not command %d of entry %d: %v", p.Command, i, index, err)
			}
			c.acked[p.Tag.(string)] = index
			c.highest = max(c.highest, index)
		}
	}
	n.replica.Applied(t)
}

// rawCommands splits an entry without reading its commands as protobuf.
func rawCommands(b []byte) (command.Header, [][]byte, error) {
	h, err := command.DecodeHeader(b)
	if err != nil {
		return h, nil, err
	}
	b = b[command.HeaderBytes:]
	var out [][]byte
	for range h.Count {
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		out = append(out, b[4:4+n])
		b = b[4+n:]
	}
	return h, out, nil
}

// stream delivers the snapshot under way once it has taken its time, unless
// the receiver is down.
func (n *node) stream() {
	if n.sending == nil || n.c.now < n.arrives {
		return
	}
	m := n.sending
	n.sending = nil
	to := n.c.nodes[m.GetTo()]
	ok := to.replica != nil
	if ok {
		to.replica.SnapshotReceived(m)
	}
	n.replica.SnapshotSent(m.GetTo(), ok)
}

// serveReads checks that every read sees all that was acknowledged before it.
func (n *node) serveReads() {
	kept := n.waiting[:0]
	for _, w := range n.waiting {
		if n.applied < w.index {
			kept = append(kept, w)
			continue
		}
		if before := w.read.Tag.(uint64); n.applied < before {
			n.c.t.Fatalf("stale read on node %d: at %d, acknowledged before it was asked: %d", n.id, n.applied, before)
		}
		n.c.reads++
	}
	n.waiting = kept
}

// checkpoint makes the state of a node durable and truncates its log. The
// record must not overtake the commit index that it relies on.
func (n *node) checkpoint() {
	if len(n.disk) > 0 {
		return
	}
	log := n.store.Log()
	if err := log.Append(store.Batch{Checkpoint: n.applied, Hard: n.hard}); err != nil {
		n.c.t.Fatal(err)
	}
	n.hard = nil
	if index := n.replica.PlanTruncate(n.retain); index > 0 {
		if err := log.Truncate(index); err != nil {
			n.c.t.Fatal(err)
		}
	}
}

func (c *cluster) leader() *node {
	for _, id := range c.ids {
		if n := c.nodes[id]; n.replica != nil && n.role.Serving {
			return n
		}
	}
	return nil
}

func (n *node) propose(name string) {
	n.replica.Propose(replica.Proposal{Command: []byte(name), Deadline: n.c.now + 3000*ms, Tag: name})
}

func (n *node) read() {
	n.replica.Read(replica.Read{Deadline: n.c.now + 2000*ms, Tag: n.c.highest})
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
func (quiet) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (quiet) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
