package sim

import (
	"container/heap"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"github.com/kvorum/kvorum/libs/core/bus/membus"
	"github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

const (
	us      = int64(1_000)
	ms      = int64(1_000_000)
	cluster = 1
)

// world is one run.
type world struct {
	o        Options
	rng      *rand.Rand
	now      int64
	seq      uint64
	agenda   agenda
	net      *membus.Net
	nodes    []*node
	judge    *judge
	nemesis  *nemesis
	watching *watching // nil: nobody watches
	kv       *kv       // nil: nobody puts and reads
	report   Report
	ids      int64 // the last id given to anything
	ending   bool  // clients renew nothing and begin nothing any more
	hash     uint64
	print    func(string) // nil: nobody wants to know
}

// group is a kind of clients.
type group struct {
	name  string
	load  func(*Options) int64
	start func(w *world, load int64)
	// ended tells, once w.ending is set, what the group still waits for; nil:
	// nothing. It may be nil.
	ended func(w *world) error
	// check judges the group's history after the end. It may be nil.
	check func(w *world) error
}

// groups are all kinds of clients, in the order in which they start.
var groups = []group{
	{"keys", func(o *Options) int64 { return o.KV }, (*world).startKV, (*world).endKV, (*world).checkKV},
	{"leases", func(o *Options) int64 { return o.Leases }, (*world).startLeases, nil, nil},
	{"locks", func(o *Options) int64 { return o.Locks }, (*world).startLocks, nil, nil},
	{"watches", func(o *Options) int64 { return o.Watchers }, (*world).startWatchers, (*world).endWatches, (*world).checkWatches},
}

// Run simulates a cluster as o says: first under faults, then healed, until
// everything that must come to an end has. The error is the first violation and
// begins with the seed. Run sets the source of crypto/rand for the time that it
// takes, which raft draws its election timeouts from: one run at a time in a
// process.
func Run(o Options) (Report, error) { return Trace(o, nil) }

// Trace is Run, and tells print what happens, line by line.
func Trace(o Options, print func(string)) (report Report, err error) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], o.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(o.Salt))
	source := crand.Reader
	crand.Reader = rand.NewChaCha8(seed)
	defer func() { crand.Reader = source }()

	w := &world{o: o, rng: rand.New(rand.NewPCG(o.Seed, uint64(o.Salt)+1)), net: membus.New(o.Seed ^ uint64(o.Salt)<<32), now: 1, print: print}
	w.judge = newJudge(w)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("seed %d, at %d ms: %s", o.Seed, w.now/ms, describe(v))
		}
		report = w.finish()
	}()
	for i := range uint64(o.Nodes) {
		n := &node{w: w, id: i + 1, store: memstore.New(w.bootstrap())}
		n.membership = joining.Membership{Incarnation: n.id, State: joining.StateMember, Founders: w.founders()}
		n.disk.w = w
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		n.start()
	}
	for _, g := range groups {
		if load := g.load(&o); load > 0 {
			g.start(w, load)
		}
	}
	w.startNemesis()
	w.run(o.Millis * ms)
	w.end()
	return report, nil
}

// violation is what the judge panics with.
type violation string

func (w *world) fail(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// describe tells what a run ended with: a violation, or a panic of the product.
func describe(v any) string {
	if f, ours := v.(violation); ours {
		return string(f)
	}
	return fmt.Sprintf("panic: %v\n%s", v, debug.Stack())
}

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
				n.guard(n.step)
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
