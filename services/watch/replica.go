package watch

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/feed"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// replica is one life of the fan-out. loop's goroutine owns all of it but
// current, which requests read.
type replica struct {
	log   *slog.Logger
	now   func() fanout.Instant
	kv    *nats.Conn // the clients' account: events, requests and their answers
	inner *nats.Conn // the internal account: the feed and the grant
	// routes tells when the server's routes have changed.
	routes func() uint64

	rules    *fanout.Replica
	feed     *feed.Follower
	requests *requests
	current  atomic.Pointer[fanout.Snapshot]
	holding  atomic.Bool

	pages    chan page
	answers  chan grantAnswer
	progress chan *nats.Msg
	granted  chan struct{}  // holds one when holding has become true
	released chan *nats.Msg // another gave up the grant
	lost     chan error     // a connection broke
}

// subjectReleased tells the other replicas, in the internal account, that the
// holder gave up the grant.
const subjectReleased = "feed.released"

// page is one of the feed's, or a new beginning after events were lost to
// compaction.
type page struct {
	*kvpb.FeedResponse
	restart *api.Position
}

func runReplica(ctx context.Context, cfg Config, bus *natsbus.ClientBus) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &replica{
		log: cfg.Logger, now: clock, routes: bus.RouteSet,
		rules:    fanout.NewReplica(cfg.Name+"."+rand.Text(), fanout.Limits{WindowBytes: cfg.WindowBytes}),
		pages:    make(chan page, pagesMax),
		answers:  make(chan grantAnswer, 1),
		progress: make(chan *nats.Msg, progressMax),
		granted:  make(chan struct{}, 1),
		released: make(chan *nats.Msg, 1),
		lost:     make(chan error, 2),
	}
	if err := r.connect(bus); err != nil {
		return err
	}
	defer r.kv.Close()
	defer r.inner.Close()
	r.requests = newRequests(ctx, cfg.Name, r)
	stop, err := r.requests.announce()
	if err != nil {
		return err
	}
	defer stop()
	if _, err := r.kv.ChanSubscribe(api.SubjectProgress, r.progress); err != nil {
		return fmt.Errorf("subscribe to %s: %w", api.SubjectProgress, err)
	}
	if _, err := r.inner.ChanSubscribe(subjectReleased, r.released); err != nil {
		return fmt.Errorf("subscribe to %s: %w", subjectReleased, err)
	}
	defer r.release()
	start, err := r.begin(ctx)
	if err != nil {
		return err
	}
	r.log.Info("following the store", "after", start)
	r.rules.Begin(start)
	r.feed = feed.NewFollower(r.inner, start, r.log)
	go r.follow(ctx)
	return r.loop(ctx)
}

// connect opens the connections. One that breaks may have lost what was written
// to it, so the replica ends with it.
func (r *replica) connect(bus *natsbus.ClientBus) (err error) {
	if r.kv, err = bus.Service(); err != nil {
		return err
	}
	if r.inner, err = bus.Internal(); err != nil {
		r.kv.Close()
		return err
	}
	for _, nc := range []*nats.Conn{r.kv, r.inner} {
		nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) {
			select {
			case r.lost <- fmt.Errorf("a connection to the embedded server broke: %w", err):
			default:
			}
		})
	}
	return nil
}

// loop receives, publishes and answers until something fails.
func (r *replica) loop(ctx context.Context) error {
	beat := time.NewTicker(time.Duration(fanout.BeatEvery))
	defer beat.Stop()
	renew := time.NewTimer(0)
	defer renew.Stop()
	ready := make(chan struct{})
	close(ready)
	for {
		r.settle()
		var pages chan page
		if r.rules.Room() {
			pages = r.pages
		}
		var work chan struct{}
		if r.rules.Waiting() {
			work = ready
		}
		select {
		case p := <-pages:
			r.add(p)
		case <-work:
			if err := r.publish(); err != nil {
				return err
			}
		case m := <-r.progress:
			r.skip(m)
		case a := <-r.answers:
			r.answered(a)
			r.show()
			if a.err != nil {
				renew.Reset(time.Duration(fanout.RetryAfter))
			}
		case <-renew.C:
			renew.Reset(time.Duration(fanout.RenewEvery))
			r.ask(ctx)
		case <-r.released:
			r.rules.Released()
			renew.Reset(0)
		case <-beat.C:
			if r.rules.Beat(r.routes()) {
				r.feed.Again()
			}
		case err := <-r.lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle makes the role follow the grant, and what requests see follow both.
func (r *replica) settle() {
	holding, changed := r.rules.Settle(r.now())
	if !changed {
		return
	}
	r.show()
	s := r.current.Load()
	r.holding.Store(holding)
	if holding {
		select {
		case r.granted <- struct{}{}:
		default:
		}
		r.requests.open()
		r.log.Info("publishing", "epoch", s.Epoch(), "after", s.Through())
	} else {
		r.requests.close()
		r.log.Info("standing by", "epoch", s.Epoch(), "published", s.Through())
	}
}

func (r *replica) show() { r.current.Store(r.rules.Snapshot()) }

func (r *replica) add(p page) {
	if p.restart != nil {
		r.rules.Restart(*p.restart)
	} else {
		r.rules.Page(p.FeedResponse)
	}
	r.show()
}

// publish sends one batch, if the grant still holds right now. Readers see it
// after it was written to the connection that their answers go to.
func (r *replica) publish() error {
	if r.rules.Publish(r.now()) == nil {
		return nil
	}
	for _, m := range r.rules.Over(r.routes) {
		if err := r.kv.PublishMsg(&nats.Msg{Subject: m.Subject, Header: nats.Header(m.Header), Data: m.Body}); err != nil {
			return fmt.Errorf("publish on %s: %w", m.Subject, err)
		}
	}
	r.rules.Done()
	r.show()
	return nil
}

// skip takes a progress message.
func (r *replica) skip(m *nats.Msg) {
	through, err := api.ParsePosition(m.Header.Get(api.HeaderThrough))
	if err != nil {
		r.log.Warn("a progress message without a position", "error", err)
		return
	}
	r.rules.Progress(through, r.now())
	r.show()
}
