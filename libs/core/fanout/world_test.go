package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// world is a store, two replicas of the fan-out and watchers, with the network
// between them: each replica's messages reach a watcher in order, with runs of
// them lost, and late.
type world struct {
	*rand.Rand
	limits   fanout.Limits
	truth    []*kvpb.Event
	revision int64
	replicas [2]*fanout.Publisher
	holder   int // -1: nobody
	epoch    api.Epoch
	progress api.Position // last one published
	sequence uint64       // of that
	highest  api.Position // of all that were published
	beating  bool         // the holder's beat is not all published
	watchers []*watcher
	links    [][2]*link // of each watcher with each replica
	// mutate, where set, alters a message before it is published; false drops it.
	mutate func(fanout.Message) bool
}

// link carries messages from one replica to one watcher.
type link struct {
	inbox []any
	cut   bool
	// lostProgress: since it was cut. A cut that begins and ends between two
	// progress messages is noticed as long as it does not fall among the tails
	// of one beat, where no real cut is short enough.
	lostProgress bool
}

var keys = func() (keys [][]byte) {
	for _, dir := range []string{"/", "/a/", "/a/b/", "/c/", "x/"} {
		for i := range 3 {
			keys = append(keys, fmt.Appendf(nil, "%sk%d", dir, i))
		}
	}
	long := "/a/" + strings.Repeat("y", 1100)
	return append(keys, []byte("/a"), []byte("/a/"), []byte("/a/b"), []byte(long), []byte(long+"/z"))
}()

func newWorld(seed uint64, mutate func(fanout.Message) bool) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), holder: -1, mutate: mutate}
	w.limits = fanout.Limits{QueueEvents: 30, Prefixes: 8 << w.IntN(4), Tails: 10 + w.IntN(50),
		Batch: 1 + w.IntN(8), WindowEvents: 20 + w.IntN(500), WindowBytes: 1 << 20}
	for i := range w.replicas {
		w.replicas[i] = fanout.NewPublisher(w.limits, api.Position{})
	}
	for _, prefix := range []string{"", "a", "a.b", "c", "~.x"} {
		w.watchers = append(w.watchers, newWatcher(prefix, false))
	}
	for _, key := range []string{"a", "a.b", "a.k1", "c.k0", "~.x.k2", "k1"} {
		w.watchers = append(w.watchers, newWatcher(key, true))
	}
	for range w.watchers {
		w.links = append(w.links, [2]*link{{}, {}})
	}
	return w
}

// commit adds a revision, now and then one that is larger than the queue.
func (w *world) commit() {
	w.revision += 1 + int64(w.IntN(2))
	n := 1
	switch w.IntN(10) {
	case 0:
		n = 2 + w.IntN(len(keys)-2)
	case 1, 2:
		n = 2 + w.IntN(3)
	}
	chosen := w.Perm(len(keys))[:n]
	if w.IntN(40) == 0 { // keys repeat, which makes it long; no matter here
		for range 3 {
			chosen = append(chosen, w.Perm(len(keys))...)
		}
	}
	for sub, k := range chosen {
		e := &kvpb.Event{Kv: &kvpb.KeyValue{Key: keys[k], ModRevision: w.revision}, Sub: int64(sub), Last: sub == len(chosen)-1}
		if w.IntN(4) == 0 {
			e.Type = kvpb.Event_DELETE
		} else {
			e.Kv.Value, e.Kv.CreateRevision, e.Kv.Version = fmt.Append(nil, w.revision, sub), 1, 1
		}
		w.truth = append(w.truth, e)
	}
}

// after gives at most n events after a position, and what they reach.
func (w *world) after(p api.Position, n int) ([]*kvpb.Event, api.Position) {
	i := sort.Search(len(w.truth), func(i int) bool { return eventPlace(w.truth[i]).pos.After(p) })
	events := w.truth[i:min(i+n, len(w.truth))]
	if len(events) == 0 {
		return nil, p
	}
	last := events[len(events)-1]
	if last.Last {
		return events, api.End(last.Kv.ModRevision)
	}
	return events, eventPlace(last).pos
}

func (w *world) feed(i, n int) {
	if r := w.replicas[i]; r.Room() {
		r.Add(w.after(r.Fed(), n))
	}
}

func (w *world) publish() {
	if w.holder < 0 {
		return
	}
	r := w.replicas[w.holder]
	for _, m := range r.Batch() {
		if w.mutate == nil || w.mutate(m) {
			w.send(m)
		}
		if m.Subject == api.SubjectProgress {
			w.beating = false
			w.sequence = must(strconv.ParseUint(m.Header[api.HeaderSequence][0], 10, 64))
			w.progress = must(api.ParsePosition(m.Header[api.HeaderThrough][0]))
			if w.progress.After(w.highest) {
				w.highest = w.progress
			}
			if w.IntN(5) > 0 {
				w.replicas[1-w.holder].Skip(w.progress)
			}
		}
	}
	r.Done()
}

func (w *world) send(m fanout.Message) {
	for i, watcher := range w.watchers {
		l := w.links[i][w.holder]
		switch {
		case !watcher.subscribed(m.Subject):
		case !l.cut:
			l.inbox = append(l.inbox, m)
		case m.Subject == api.SubjectProgress:
			l.lostProgress = true
		}
	}
}

// grant lets a replica publish in a new epoch.
func (w *world) grant(i int) {
	if w.holder == i && w.IntN(2) == 0 { // it came late, in the same epoch
		w.replicas[i].Lose()
		w.replicas[i].Take(w.epoch)
		w.beating = true
		return
	}
	w.revoke()
	w.epoch.N++
	if w.IntN(4) == 0 {
		w.epoch = api.Epoch{Term: w.epoch.Term + 1, N: 1}
	}
	w.holder, w.beating, w.sequence = i, true, 0
	w.replicas[i].Take(w.epoch)
}

func (w *world) revoke() {
	if w.holder >= 0 {
		w.replicas[w.holder].Lose()
		w.holder = -1
	}
}

// restart replaces a replica by a new process, which begins at the last
// progress, or at the end of the store where it hears of none.
func (w *world) restart(i int) {
	if w.holder == i {
		w.revoke()
	}
	start := api.End(w.revision)
	if w.holder >= 0 {
		start = w.progress
	}
	w.replicas[i] = fanout.NewPublisher(w.limits, start)
}

// ask sends a history request to the publishing replica, whose answer queues up
// behind what it published.
func (w *world) ask(i int) {
	c := w.watchers[i]
	c.asking = true
	c.ask++
	if w.holder < 0 || w.links[i][w.holder].cut {
		return
	}
	r := w.replicas[w.holder]
	a := answer{ask: c.ask, epoch: w.epoch, sequence: r.Sequence()}
	if w.mutate != nil {
		a.sequence = w.sequence
	}
	view := r.View()
	limit := 1 + w.IntN(20)
	page, ok := view.History(fanout.Query{Range: c.keys, Since: c.at, Limit: limit, Bytes: 1 << 20})
	if !ok {
		page = w.stored(c, limit, view.Through())
	}
	a.page = page
	l := w.links[i][w.holder]
	l.inbox = append(l.inbox, a)
}

// stored is a node's answer, whose store may be ahead of what is published, or
// behind.
func (w *world) stored(c *watcher, limit int, published api.Position) (page fanout.Page) {
	events, through := w.after(c.at, 1+w.IntN(200))
	page.Through = through
	for i, e := range events {
		if !c.keys.Contains(e.Kv.Key) {
			continue
		}
		if len(page.Events) == limit {
			page.Through = eventPlace(events[i-1]).pos
			break
		}
		page.Events = append(page.Events, e)
	}
	page.More = published.After(page.Through)
	return page
}

// receive lets a watcher work off some of what reached it.
func (w *world) receive(i, n int) {
	for range n {
		l := w.links[i][w.IntN(2)]
		if len(l.inbox) == 0 {
			continue
		}
		m := l.inbox[0]
		l.inbox = l.inbox[1:]
		if w.watchers[i].receive(m) {
			w.ask(i)
		}
	}
}

// cut begins to lose what a replica sends to a watcher.
func (w *world) cut(i, replica int) {
	*w.links[i][replica] = link{inbox: w.links[i][replica].inbox, cut: true}
}

// heal ends some cuts.
func (w *world) heal() {
	for i := range w.links {
		for _, l := range w.links[i] {
			if l.cut && (l.lostProgress || !w.beating) && w.IntN(3) == 0 {
				l.cut = false
			}
		}
	}
}

// check compares what a watcher delivered with the truth.
func (w *world) check(c *watcher) error {
	var want [][]place
	for _, e := range w.truth {
		if !c.keys.Contains(e.Kv.Key) {
			continue
		}
		p := eventPlace(e)
		if n := len(want); n > 0 && want[n-1][0].pos.Revision == p.pos.Revision {
			want[n-1] = append(want[n-1], p)
		} else {
			want = append(want, []place{p})
		}
	}
	for i := range max(len(want), len(c.delivered)) {
		switch {
		case i >= len(want):
			return fmt.Errorf("%s: delivered %v, which is too much", c.name, c.delivered[i])
		case i >= len(c.delivered):
			return fmt.Errorf("%s: %v was never delivered; it stands at %v", c.name, want[i], c.at)
		case !slices.Equal(want[i], c.delivered[i]):
			return fmt.Errorf("%s: delivered %v, want %v", c.name, c.delivered[i], want[i])
		}
	}
	return nil
}
