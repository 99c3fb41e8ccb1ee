package sim

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/lock"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// judge watches a run. An entry counts as of when the first node applies it.
type judge struct {
	w       *world
	index   uint64 // last entry seen
	ref     *reference
	events  []*kvpb.Event       // of all entries
	digests map[uint64]state    // as of an index
	leaders map[uint64]uint64   // term -> node
	timers  map[lease.ID]*timer // every lease and key that ever had a timer
	clients map[int64]bool      // leases that are always renewed in time
	// revision is the highest that was acknowledged.
	revision int64
	queues   map[string]map[int64]int64 // name -> lease -> create revision
	firsts   map[string]map[int64]bool  // name -> fences that were ever first
	lockers  []*locker
}

// timer is what is known of one lease or key. Times are virtual.
type timer struct {
	alive   bool
	set     int64 // when it last began
	gone    int64 // when it last ended
	expired int64 // when it last ended by expiry
	until   int64 // acknowledged renewals hold until then
}

func newJudge(w *world) *judge {
	return &judge{w: w, index: 1, ref: newReference(), digests: map[uint64]state{}, leaders: map[uint64]uint64{}, timers: map[lease.ID]*timer{}, clients: map[int64]bool{},
		queues: map[string]map[int64]int64{}, firsts: map[string]map[int64]bool{}}
}

func (j *judge) timer(id lease.ID) *timer {
	if j.timers[id] == nil {
		j.timers[id] = &timer{}
	}
	return j.timers[id]
}

// applied takes what the reference made of an entry that a node is the first to
// apply.
func (j *judge) applied(n *node, e mvcc.Entry, a *mvcc.Applied, after state) {
	j.applies(n, e, after)
	j.index = e.Index
	j.w.fold(uint64(len(e.Commands)), binary.BigEndian.Uint64(after.digest[:]))
	ended := map[lease.ID]bool{} // by expiry
	for i, c := range e.Commands {
		if x := c.GetExpire(); x != nil && a.Results[0][i].Err == nil {
			ended[lease.ID{Lease: x.Lease}] = true
			for _, k := range x.Keys {
				ended[lease.ID{Key: string(k.Key)}] = true
			}
		}
	}
	for _, t := range a.Timers {
		id := lease.ID{Lease: t.Lease, Key: string(t.Key)}
		seen := j.timer(id)
		if seen.alive = !t.Gone; seen.alive {
			seen.set = j.w.now
			continue
		}
		seen.gone = j.w.now
		if ended[id] {
			j.expired(id, seen)
		}
	}
	j.events = append(j.events, a.Events...)
	for _, ev := range a.Events {
		j.event(ev)
	}
	if j.w.kv != nil {
		j.w.kv.committed(e, a)
	}
	if j.w.watching != nil {
		j.w.watching.committed(a.Events, j.ref.machine.Published().Compacted)
	}
}

func (j *judge) expired(id lease.ID, t *timer) {
	t.expired = j.w.now
	if j.w.now < t.until {
		j.w.fail("%v expired %d ms before its time to live was over", id, (t.until-j.w.now)/ms)
	}
	if id.Lease == 0 {
		j.w.report.KeyExpiries++
		return
	}
	j.w.report.Expiries++
	if j.clients[id.Lease] && !j.w.ending {
		j.w.fail("lease %d expired though its client renews it in time", id.Lease)
	}
}

// event follows queues and checks that guarded writes carry the holder's fence.
func (j *judge) event(ev *kvpb.Event) {
	kv := ev.Kv
	if name, id, ok := lock.Contender(kv.Key); ok {
		queue := j.queues[string(name)]
		if queue == nil {
			queue = map[int64]int64{}
			j.queues[string(name)], j.firsts[string(name)] = queue, map[int64]bool{}
		}
		if ev.Type == kvpb.Event_DELETE {
			delete(queue, id)
		} else {
			queue[id] = kv.CreateRevision
		}
		j.firsts[string(name)][j.holder(string(name))] = true
		return
	}
	if name, ok := bytes.CutPrefix(kv.Key, []byte(dataPrefix)); ok {
		j.w.report.FencedWrites++
		if fence := j.holder(string(name)); string(kv.Value) != strconv.FormatInt(fence, 10) {
			j.w.fail("a write with fence %s to %q went through at revision %d: the holder's is %d", kv.Value, name, kv.ModRevision, fence)
		}
	}
}

// holder is the fence of a name's holder, 0 for nobody.
func (j *judge) holder(name string) (fence int64) {
	for _, create := range j.queues[name] {
		if fence == 0 || create < fence {
			fence = create
		}
	}
	return fence
}

// granted takes an acknowledged grant, or put with a time to live, that was sent
// first at a time: what it began must not have expired before.
func (j *judge) granted(id lease.ID, sent, ttl int64) {
	t := j.timer(id)
	t.until = max(t.until, sent+j.w.atLeast(ttl))
	if t.expired > t.set && t.expired < sent+j.w.atLeast(ttl) {
		j.early(id, t, sent+j.w.atLeast(ttl))
	}
}

// renewed takes an acknowledged renewal: when it was sent, and when a leader
// recorded it. Where the lease has been granted again meanwhile, an expiry
// before the recording was that of its predecessor.
func (j *judge) renewed(l int64, sent, recorded, ttl int64) {
	j.w.report.Renewals++
	id := lease.ID{Lease: l}
	t := j.timer(id)
	if !t.alive && t.gone < sent {
		j.w.fail("a renewal of %v was acknowledged, which had ended before", id)
	}
	t.until = max(t.until, sent+j.w.atLeast(ttl))
	if t.expired > sent && t.expired < sent+j.w.atLeast(ttl) && (t.expired > t.set || t.expired > recorded) {
		j.early(id, t, sent+j.w.atLeast(ttl))
	}
}

func (j *judge) early(id lease.ID, t *timer, until int64) {
	j.w.fail("%v expired %d ms before the end of a time to live that was acknowledged", id, (until-t.expired)/ms)
}

// dead takes the answer that a lease does not exist.
func (j *judge) dead(id, sent int64) {
	if t := j.timer(lease.ID{Lease: id}); t.alive && t.set < sent {
		j.w.fail("a client was told that lease %d does not exist, which does", id)
	}
}

// wrote takes the result of a write that was sent when before had been
// acknowledged.
func (j *judge) wrote(res mvcc.Result, before int64) {
	if !res.Duplicate && res.Revision < before {
		j.w.fail("a write is at revision %d, %d was acknowledged before", res.Revision, before)
	}
	j.revision = max(j.revision, res.Revision)
}

// held takes the answer that a name is held.
func (j *judge) held(name string, fence int64) {
	j.w.report.Locks++
	if !j.firsts[name][fence] {
		j.w.fail("%q was given with fence %d, which never was the first", name, fence)
	}
}

// beliefs: by their own clocks, at most one client thinks that it holds a lock.
func (j *judge) beliefs() {
	var holder *locker
	for _, l := range j.lockers {
		if !l.believes() {
			continue
		}
		if holder != nil {
			j.w.fail("clients %d and %d think that they hold the lock, with fences %d and %d", holder.lease.id, l.lease.id, holder.fence, l.fence)
		}
		holder = l
	}
}

// inspect compares each node's clock with its state.
func (j *judge) inspect() {
	for _, n := range j.w.nodes {
		n.guard(func() { j.inspectNode(n) })
	}
}

func (j *judge) inspectNode(n *node) {
	if !n.up || n.paused || !n.idle() || n.busy {
		return
	}
	j.commits(n)
	count := 0
	n.must(n.machine.Published().Timers(func(t mvcc.Timer) error {
		count++
		if _, _, ok := n.clock.Left(t.Lease); t.Lease != 0 && !ok {
			j.w.fail("node %d keeps no time for lease %d", n.id, t.Lease)
		}
		return nil
	}))
	if count != n.clock.Len() {
		j.w.fail("node %d keeps %d timers, its state has %d", n.id, n.clock.Len(), count)
	}
}

// end: whatever nobody renewed is gone, on every node.
func (j *judge) end() {
	for id, t := range j.timers {
		if t.alive {
			j.w.fail("%v still lives", id)
		}
	}
	j.logs()
	j.pasts()
}
