package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

const (
	ms      = int64(1_000_000)
	cluster = 1
	nodes   = 3
)

// Bugs are mistakes to plant in the nodes; the zero Bugs plants none.
type Bugs struct {
	// ClockNeverStops: lease time passes on every node, so that a new leader
	// knows only of the renewals that it has recorded itself.
	ClockNeverStops bool
	// AckWithoutRound: a renewal is acknowledged as soon as it is recorded.
	AckWithoutRound bool
	// NoStepCap: lease time follows the clock, however long the node stood still.
	NoStepCap bool
	// NoGeneration: an expiry takes effect whatever became of the lease or key.
	NoGeneration bool
	// RenewExpiring: a lease may be renewed while its expiry is in flight.
	RenewExpiring bool
	// ForgetInFlight: a leadership that comes back in the same term forgets
	// what it had proposed to expire, as a later one may.
	ForgetInFlight bool
	// NoLook: a renewal is acknowledged after its round though the lease may have
	// ended by an entry that this node had not applied when it was recorded.
	NoLook bool
	// NoFence: clients do not guard their writes with their fence.
	NoFence bool
}

// Report counts what happened in a run, so that a test can see that enough did.
type Report struct {
	Revision                             int64
	Grants, Renewals, Expiries           int // acknowledged, acknowledged, applied
	KeyExpiries                          int
	Locks, FencedWrites, FencedRefused   int
	Leaders, Crashes, Pauses, Partitions int
	Steps                                int
	Digest                               [32]byte
}

// world is one run.
type world struct {
	rng    *rand.Rand
	now    int64
	seq    uint64
	agenda agenda
	net    *membus.Net
	nodes  []*node
	bugs   Bugs
	judge  *judge
	report Report
	ids    int64 // the last id given to anything
	ending bool  // clients renew nothing and begin nothing any more
}

// Run simulates a cluster for some virtual milliseconds under the nemesis, then
// heals it and lets everything end. The error is the first violation.
func Run(seed uint64, millis int64, bugs Bugs) (report Report, err error) {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), net: membus.New(seed), bugs: bugs, now: 1}
	w.judge = newJudge(w)
	one := uint64(1)
	conf := &raftpb.ConfState{}
	for i := range nodes {
		conf.Voters = append(conf.Voters, uint64(i+1))
	}
	for _, id := range conf.Voters {
		n := &node{w: w, id: id, store: memstore.New(&raftpb.SnapshotMetadata{ConfState: conf, Index: &one, Term: &one})}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	defer func() {
		if v := recover(); v != nil {
			f, ours := v.(violation)
			if !ours {
				panic(v)
			}
			err = fmt.Errorf("seed %d, at %d ms: %s", seed, w.now/ms, f)
		}
		w.report.Revision, w.report.Digest = w.judge.revision, w.judge.digests[w.judge.index]
		report = w.report
	}()
	w.startClients()
	w.startNemesis()
	w.run(millis * ms)
	w.heal()
	w.ending = true
	w.run(endMillis * ms)
	w.judge.end()
	return report, nil
}

// violation is what the judge panics with.
type violation string

func (w *world) fail(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// run lets time pass.
func (w *world) run(d int64) {
	for end := w.now + d; ; {
		next := w.next()
		if next > end {
			w.now = end
			return
		}
		w.now = max(w.now, next)
		w.net.Deliver(w.now)
		for len(w.agenda) > 0 && w.agenda[0].at <= w.now {
			heap.Pop(&w.agenda).(item).do()
		}
		for _, n := range w.nodes {
			if n.due() <= w.now {
				n.step()
				w.report.Steps++
			}
		}
		w.judge.beliefs()
	}
}

// next is when something happens next.
func (w *world) next() int64 {
	at := int64(1) << 62
	if next, ok := w.net.Next(); ok {
		at = next
	}
	if len(w.agenda) > 0 {
		at = min(at, w.agenda[0].at)
	}
	for _, n := range w.nodes {
		at = min(at, n.due())
	}
	return at
}

// after does something a while from now.
func (w *world) after(d int64, do func()) {
	w.seq++
	heap.Push(&w.agenda, item{w.now + d, w.seq, do})
}

// between draws a duration in milliseconds, as nanoseconds.
func (w *world) between(low, high int64) int64 { return low*ms + w.rng.Int64N((high-low)*ms+1) }

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// id draws nothing: ids are numbers that never come again.
func (w *world) id() int64 { w.ids++; return w.ids }

// leader is the node that serves, nil for none.
func (w *world) leader() *node {
	for _, n := range w.nodes {
		if n.up && n.role.Serving {
			return n
		}
	}
	return nil
}

// agenda is what will happen, ordered by time and then by when it was planned.
type agenda []item

type item struct {
	at  int64
	seq uint64
	do  func()
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(item)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = item{}
	*a = (*a)[:last]
	return x
}
