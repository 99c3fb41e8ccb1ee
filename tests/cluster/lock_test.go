package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/tests/harness"
)

// contender is one who asks for a lock until it is his, always with the same
// message id.
type contender struct {
	*shell
	id   string
	lock string // tokens
	ttl  time.Duration
}

func (c *contender) acquire(wait time.Duration) *said {
	c.t.Helper()
	for {
		got := c.must("kv.lock."+c.lock, fmt.Sprintf(`{"ttl":%q,"wait":%q,"value":%q}`, c.ttl, wait, c.id), api.HeaderMsgID, c.id)
		if got.Held {
			return got
		}
	}
}

// write is a write under a lock: it reports whether the store took it.
func (s *shell) write(lock, fence, value string) bool {
	s.t.Helper()
	return s.must("kv.txn", fmt.Sprintf(`{"if":[{"lock":%q,"fence":%q}],"then":[{"put":{"key":"/job/state","value":%q}}]}`, lock, fence, value)).Succeeded
}

// count is how many keys a prefix has.
func (s *shell) count(prefix string) int {
	s.t.Helper()
	return int(number(s.t, s.must("kv.range", fmt.Sprintf(`{"key":%q,"prefix":true,"count_only":true}`, prefix)).Count))
}

// keep renews a lease until ctx ends.
func (s *shell) keep(ctx context.Context, lease string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = s.renew(lease) // one that fails is tried again
		}
	}
}

// Three contend for a lock and its holder dies: the next one has it, and what
// the dead one still sends is refused.
func TestLockStory(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	const ttl = 2 * time.Second
	first := &contender{shellOf(t, c.Client()), "shell-1", "locks.job", ttl}
	one := first.acquire(10 * time.Second)
	if one.Key != "/locks/job/"+one.Lease || one.Ahead != "" {
		t.Errorf("the first one has %+v", one)
	}
	holding, die := context.WithCancel(ctx)
	go shellOf(t, c.Client()).keep(holding, one.Lease, ttl/4)

	type turn struct {
		who string
		got *said
		at  time.Time
	}
	turns := make(chan turn, 2)
	for i, who := range []string{"shell-2", "shell-3"} {
		next := &contender{shellOf(t, c.Client()), who, "locks.job", ttl}
		go func() {
			got := next.acquire(60 * time.Second)
			turns <- turn{who, got, time.Now()}
			next.keep(ctx, got.Lease, ttl/4)
		}()
		// One after the other, so that the order is known.
		c.Until("its place in the queue", func(context.Context) bool {
			return first.count("/locks/job/") == i+2
		})
	}
	// Longer than the time to live: renewed leases go on, those of waiting
	// requests too.
	for range 8 {
		if !first.write("/locks/job", one.Fence, "first") {
			t.Fatal("the holder's write is refused")
		}
		time.Sleep(ttl / 4) // the holder's work
	}
	select {
	case early := <-turns:
		t.Fatalf("%s has the lock while the first one holds it", early.who)
	default:
	}
	await := func() (next turn) {
		c.Until("somebody to get the lock", func(context.Context) bool {
			if t.Failed() {
				t.FailNow() // whoever waited
			}
			select {
			case next = <-turns:
				return true
			default:
				return false
			}
		})
		return next
	}
	died := time.Now()
	die()
	two := await()
	t.Logf("the next one has the lock %v after the holder's last work, with a time to live of %v", two.at.Sub(died), ttl)
	if two.who != "shell-2" || number(t, two.got.Fence) <= number(t, one.Fence) {
		t.Errorf("%s has it with fence %s, the first one had %s", two.who, two.got.Fence, one.Fence)
	}
	if first.write("/locks/job", one.Fence, "the dead") {
		t.Error("the dead holder's write was taken")
	}
	if !first.write("/locks/job", two.got.Fence, "second") {
		t.Error("the new holder's write was refused")
	}
	if _, err := first.ask("kv.unlock.locks.job", fmt.Sprintf(`{"lease":%q,"fence":%q}`, one.Lease, one.Fence)); err == nil || err.Kind != api.KindNotHeld {
		t.Errorf("the dead one unlocks: %v", err)
	}
	first.must("kv.unlock.locks.job", fmt.Sprintf(`{"lease":%q,"fence":%q}`, two.got.Lease, two.got.Fence))
	three := await()
	if three.who != "shell-3" || first.write("/locks/job", two.got.Fence, "second again") {
		t.Errorf("after it was given back, %s has it, or its last holder too", three.who)
	}
}

// A waiting request that was cut short by the leader's death keeps its place: the
// same request again waits on in it. Whoever waits at a killed leader hears
// nothing, so each waits a little at a time.
func TestLockSurvivesLeaders(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	s := shellOf(t, c.Client())
	lease := s.grant(time.Minute)
	held := s.must("kv.lock.locks.l", fmt.Sprintf(`{"lease":%q}`, lease))
	var order []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 5 {
		next := &contender{shellOf(t, c.Client()), fmt.Sprint("waiter-", i), "locks.l", 20 * time.Second}
		wg.Go(func() {
			got := next.acquire(2 * time.Second)
			mu.Lock()
			order = append(order, next.id)
			mu.Unlock()
			next.must("kv.unlock.locks.l", fmt.Sprintf(`{"lease":%q,"fence":%q}`, got.Lease, got.Fence), api.HeaderMsgID, next.id+" done")
		})
		c.Until("its place in the queue", func(context.Context) bool {
			return s.count("/locks/l/") == i+2
		})
	}
	for range 2 {
		leader := c.Leader()
		c.Nodes[leader].Kill()
		c.Leader()
		c.Nodes[leader].Start()
	}
	if n := s.count("/locks/l/"); n != 6 {
		t.Errorf("%d contend, want 6", n)
	}
	s.must("kv.unlock.locks.l", fmt.Sprintf(`{"lease":%q,"fence":%q}`, lease, held.Fence), api.HeaderMsgID, "given back")
	wg.Wait()
	if !slices.IsSorted(order) || len(order) != 5 {
		t.Errorf("their turns came as %v", order)
	}
	sameDigests(t, c)
}

// Who waits at a leader that stops in order, or that finds out that it leads no
// longer, is told at once to ask again, and then waits on in the same place.
func TestWaitersAreToldToAskAgain(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	for _, fault := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTERM} {
		leader := c.Leader()
		others := shellOf(t, c.ClientOf((leader+1)%3))
		// A stopped node's own clients stay connected, others may lose it.
		own, err := nats.Connect(c.URLs[leader], nats.PingInterval(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		waiting := &shell{t, own}
		name := fmt.Sprintf("locks.t%d", fault)
		others.must("kv.lock."+name, fmt.Sprintf(`{"lease":%q}`, others.grant(10*time.Minute)))
		held := others.must("kv.elect.leader", fmt.Sprintf(`{"name":"/locks/t%d"}`, fault)).Leader
		type outcome struct {
			got *said
			err *api.Error
		}
		outcomes := make(chan outcome, 2)
		ask := func(subject, body string) {
			got, err := waiting.ask(subject, body, api.HeaderMsgID, name)
			outcomes <- outcome{got, err}
		}
		go ask("kv.elect.observe", fmt.Sprintf(`{"name":"/locks/t%d","after":%q,"wait":"50s"}`, fault, held.ModRevision))
		go ask("kv.lock."+name, `{"ttl":"50s","wait":"50s"}`)
		c.Until("its place in the queue", func(context.Context) bool {
			return others.count(fmt.Sprintf("/locks/t%d/", fault)) == 2
		})
		c.Nodes[leader].Signal(fault)
		if fault == syscall.SIGSTOP {
			c.Until("another leader", func(context.Context) bool {
				_, err := others.ask("kv.put.alive", "x")
				return err == nil
			})
			c.Nodes[leader].Signal(syscall.SIGCONT)
		}
		for range 2 {
			select {
			case o := <-outcomes:
				if o.err == nil || o.err.Kind != api.KindUnavailable {
					t.Errorf("%v: who waits hears %+v %v", fault, o.got, o.err)
				}
			case <-time.After(30 * time.Second): // well before the wait is over
				t.Fatalf("%v: who waits is not told", fault)
			}
		}
		again := others.must("kv.lock."+name, `{"ttl":"50s"}`, api.HeaderMsgID, name)
		if again.Held || again.Ahead != "1" || again.header.Get(api.HeaderDuplicate) != "true" {
			t.Errorf("%v: the repetition has %+v", fault, again)
		}
	}
}

// Who waits and loses its place is told why.
func TestWaiterLosesItsPlace(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1})
	s := shellOf(t, c.Client())
	s.must("kv.lock.locks.p", fmt.Sprintf(`{"lease":%q}`, s.grant(10*time.Minute)))
	dying, leaving := s.grant(time.Second), s.grant(10*time.Minute)
	ended := make(chan *api.Error, 1)
	wait := func(lease string) {
		_, err := s.ask("kv.lock.locks.p", fmt.Sprintf(`{"lease":%q,"wait":"50s"}`, lease))
		ended <- err
	}
	go wait(dying)
	if err := <-ended; err == nil || err.Kind != api.KindLeaseNotFound {
		t.Errorf("its lease ended: %v", err)
	}
	go wait(leaving)
	c.Until("its place in the queue", func(context.Context) bool { return s.count("/locks/p/") == 2 })
	s.must("kv.unlock.locks.p", fmt.Sprintf(`{"lease":%q}`, leaving))
	if err := <-ended; err == nil || err.Kind != api.KindNotHeld {
		t.Errorf("it left: %v", err)
	}
}

// A thousand contend for one lock: each has it once, one at a time, in the order
// of the queue.
func TestManyContenders(t *testing.T) {
	contenders := 1000
	if testing.Short() {
		contenders = 100
	}
	c := harness.Start(t, harness.Options{})
	gate := shellOf(t, c.Client())
	lease := gate.grant(10 * time.Minute)
	held := gate.must("kv.lock.locks.many", fmt.Sprintf(`{"lease":%q}`, lease))
	var shells []*shell
	for range 8 {
		shells = append(shells, shellOf(t, c.Client()))
	}
	var wg sync.WaitGroup
	var inside, turns atomic.Int64
	fences := make([]int64, 0, contenders) // whoever holds the lock appends
	for i := range contenders {
		next := &contender{shells[i%len(shells)], fmt.Sprint("contender-", i), "locks.many", 5 * time.Minute}
		wg.Go(func() {
			got := next.acquire(60 * time.Second)
			if inside.Add(1) != 1 {
				t.Errorf("%s is not alone", next.id)
			}
			fences = append(fences, number(t, got.Fence))
			turns.Add(1)
			inside.Add(-1)
			next.must("kv.unlock.locks.many", fmt.Sprintf(`{"lease":%q,"fence":%q}`, got.Lease, got.Fence), api.HeaderMsgID, next.id+" done")
		})
	}
	c.Until("all to contend", func(context.Context) bool {
		return gate.count("/locks/many/") == contenders+1
	})
	began := time.Now()
	gate.must("kv.unlock.locks.many", fmt.Sprintf(`{"lease":%q,"fence":%q}`, lease, held.Fence))
	wg.Wait()
	t.Logf("%d turns in %v", turns.Load(), time.Since(began))
	if len(fences) != contenders || !slices.IsSorted(fences) || len(slices.Compact(fences)) != contenders {
		t.Errorf("%d turns, not one each in the order of the queue", len(fences))
	}
}

// An election: its leader proclaims, observers see it, and it resigns.
func TestElection(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	s := shellOf(t, c.Client())
	if l := s.must("kv.elect.leader", `{"name":"/leader"}`); l.Leader != nil {
		t.Errorf("there is a leader already: %+v", l.Leader)
	}
	a, b := s.grant(time.Minute), s.grant(time.Minute)
	seen := make(chan *said, 1)
	observe := func(after string) {
		o := shellOf(t, c.Client())
		go func() {
			seen <- o.must("kv.elect.observe", fmt.Sprintf(`{"name":"/leader","after":%q,"wait":"60s"}`, after))
		}()
	}
	observe("0")
	one := s.must("kv.elect.campaign", fmt.Sprintf(`{"name":"/leader","lease":%q,"value":"a"}`, a))
	if l := (<-seen).Leader; !one.Held || l == nil || l.Value != "a" || l.Lease != a || l.CreateRevision != one.Fence {
		t.Fatalf("elected %+v, seen %+v", one, l)
	}
	two := s.must("kv.elect.campaign", fmt.Sprintf(`{"name":"/leader","lease":%q,"value":"b","wait":"500ms"}`, b))
	if two.Held || two.Ahead != "1" || two.Lease != b {
		t.Errorf("the second one gets %+v", two)
	}
	observe(one.Fence)
	said := s.must("kv.elect.proclaim", fmt.Sprintf(`{"name":"/leader","lease":%q,"fence":%q,"value":"a, ready"}`, a, one.Fence))
	if l := (<-seen).Leader; l == nil || l.Value != "a, ready" || l.ModRevision != said.Revision || l.Lease != a {
		t.Errorf("after the proclamation observers see %+v", l)
	}
	if _, err := s.ask("kv.elect.proclaim", fmt.Sprintf(`{"name":"/leader","lease":%q,"fence":%q,"value":"me"}`, b, two.Fence)); err == nil || err.Kind != api.KindNotHeld {
		t.Errorf("who waits proclaims: %v", err)
	}
	observe(said.Revision)
	s.must("kv.elect.resign", fmt.Sprintf(`{"name":"/leader","lease":%q,"fence":%q}`, a, one.Fence))
	if l := (<-seen).Leader; l == nil || l.Value != "b" || l.CreateRevision != two.Fence {
		t.Errorf("after the resignation observers see %+v", l)
	}
	observe(s.must("kv.elect.leader", `{"name":"/leader"}`).Leader.ModRevision)
	s.must("kv.lease.revoke", fmt.Sprintf(`{"id":%q}`, b))
	if l := (<-seen).Leader; l != nil {
		t.Errorf("after all are gone observers see %+v", l)
	}
}
