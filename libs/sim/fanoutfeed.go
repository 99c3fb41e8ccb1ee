package sim

import (
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/grant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/recent"
)

// feed is a node's side of the fan-out: what follows a position, and the grant.
type feed struct {
	n       *node
	life    int           // of the node
	machine *mvcc.Machine // whose events recent has
	recent  *recent.Events
	polls   []*poll
	grants  grant.Leader
	terms   uint64 // the newest in which the node served
}

// poll is a long poll that waits.
type poll struct {
	rules *recent.Poll
	reply func(any, error)
	over  bool
}

// recentBytes is what a node keeps in memory for those who follow: little, so
// that they read the disk as well.
const recentBytes = 4 << 10

// look notices that the node has begun a new life, or leads.
func (f *feed) look() {
	if f.life != f.n.life {
		*f = feed{n: f.n, life: f.n.life}
	}
	if f.machine != f.n.machine {
		f.machine = f.n.machine
		p := f.machine.Published()
		if f.recent == nil {
			f.recent = recent.New(p.Revision, p.Compacted, recentBytes)
		} else {
			f.recent.Reset(p.Revision, p.Compacted)
			f.answer()
		}
	}
	if f.n.role.Serving && f.n.role.Term != f.terms {
		f.terms = f.n.role.Term
		f.grants.Lead(f.terms, f.n.now())
	}
}

// published takes that the node shows a new state, with the events that brought
// it there, or another state altogether.
func (f *feed) published(p *mvcc.Published, events []*kvpb.Event) {
	f.look()
	if f.recent.Add(events, p.Revision, p.Compacted) {
		f.answer()
	}
}

// poll answers a long poll, now or later.
func (f *feed) poll(r *kvpb.FeedRequest, reply func(any, error)) {
	f.look()
	p := &poll{rules: recent.NewPoll(r), reply: reply}
	if f.try(p, p.rules.WaitMillis == 0); p.over {
		return
	}
	f.polls = append(f.polls, p)
	f.n.later(p.rules.WaitMillis*ms, func() {
		f.look()
		f.try(p, true)
	})
}

// answer looks at every poll that waits.
func (f *feed) answer() {
	kept := f.polls[:0]
	for _, p := range f.polls {
		if f.try(p, false); !p.over {
			kept = append(kept, p)
		}
	}
	clear(f.polls[len(kept):])
	f.polls = kept
}

func (f *feed) try(p *poll, timeUp bool) {
	if p.over {
		return
	}
	answer, next := p.rules.Look(f.recent, timeUp)
	if next == recent.Wait {
		return
	}
	p.over = true
	if next == recent.Send {
		p.reply(answer, nil)
		return
	}
	f.n.later(f.n.w.between(0, 3), func() {
		answer, err := p.rules.Stored(f.n.machine.Published())
		if err != nil && api.KindOf(err) != api.KindCompacted {
			f.n.must(err)
		}
		p.reply(answer, err)
	})
}

// grant answers a request for the grant to publish, after a quorum round.
func (f *feed) grant(r *kvpb.GrantRequest, reply func(any, error)) {
	refuse := func() { reply(nil, errBusy) }
	f.n.arrive(func() {
		f.look()
		f.n.read(&request{refuse: refuse, done: func() {
			f.look()
			if !f.n.role.Serving {
				refuse()
				return
			}
			reply(f.grants.Answer(r, f.n.now()), nil)
		}})
	})
}

// again gives up the question for a page that is under way, and asks anew.
func (f *fan) again() {
	if f.asks {
		f.feed.Again()
		f.follow()
	}
}

// follow asks for the next page of the feed, for ever.
func (f *fan) follow() {
	q := f.feed.Next(f.w.rng.Int64N)
	f.asked++
	n := f.asked
	f.asks = true
	f.later(int64(q.Pause), func() {
		if f.asked != n {
			return
		}
		asked := f.now()
		f.poll(q.Leader, int64(q.Patience), q.Request, func(page *kvpb.FeedResponse, err error) {
			if f.asked != n {
				return
			}
			f.asks = false
			switch {
			case api.KindOf(err) == api.KindCompacted:
				f.w.report.FeedCompacted++
				f.restart()
				return
			case err != nil:
				f.feed.Failed(err == errLate)
				f.follow()
				return
			}
			if err := f.feed.Take(page, time.Duration(f.now()-asked)); err != nil {
				f.w.fail("%s: %v", f.name, err)
			}
			f.room = func() {
				f.input(func() { f.rules.Page(page) })
				f.follow()
			}
			f.input(func() {})
		})
	})
}

// restart goes on from the end of the store: what followed is compacted.
func (f *fan) restart() {
	f.newest(3, api.Position{}, func(start api.Position, ok bool) {
		if !ok {
			f.later(50*ms, f.restart)
			return
		}
		f.feed.Restart(start)
		f.input(func() { f.rules.Restart(start) })
		f.follow()
	})
}

func (f *fan) poll(leader bool, patience int64, r *kvpb.FeedRequest, done func(*kvpb.FeedResponse, error)) {
	f.call(leader, patience, func(n *node, reply func(any, error)) { f.b.feeds[n].poll(r, reply) }, func(a any, err error) {
		page, _ := a.(*kvpb.FeedResponse)
		if err == nil {
			// What travels is a copy.
			page = &kvpb.FeedResponse{Events: page.Events, Compacted: page.Compacted, Revision: page.Revision, Node: page.Node,
				Through: &kvpb.Position{Revision: page.Through.GetRevision(), Sub: page.Through.GetSub()}}
		}
		done(page, err)
	})
}

// newest finds the end of the store, as package feed's Newest does.
func (f *fan) newest(tries int, after api.Position, done func(api.Position, bool)) {
	r := &kvpb.FeedRequest{After: &kvpb.Position{Revision: after.Revision, Sub: after.Sub}, MaxBytes: 1, WaitMillis: 1}
	take := func(page *kvpb.FeedResponse, err error) {
		switch e, _ := err.(*api.Error); {
		case err == nil && page.Revision == 0:
			done(api.Position{}, true)
		case err == nil:
			done(api.End(page.Revision), true)
		case e.Kind == api.KindCompacted && e.Compacted > after.Revision && tries > 1:
			f.newest(tries-1, api.End(e.Compacted), done)
		default:
			done(api.Position{}, false)
		}
	}
	f.poll(true, 450*ms, r, func(page *kvpb.FeedResponse, err error) {
		if err != nil && api.KindOf(err) != api.KindCompacted {
			f.poll(false, 450*ms, r, take)
			return
		}
		take(page, err)
	})
}
