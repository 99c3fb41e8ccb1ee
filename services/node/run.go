package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// Run starts a node and serves until ctx ends, then stops in order: it hands
// its leadership over, answers what it can and closes its files. An error says
// why the node could not start or could not go on. A node whose data is damaged
// rebuilds itself from a majority of healthy others and goes on.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	var rebuilds []time.Time
	for {
		err := serve(ctx, cfg)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case !isDamage(err) && (!isDiskError(err) || len(cfg.Peers) == 1):
			return err
		case errors.Is(err, badgerstore.ErrNotClosed):
			// What is left of it could write into the new directory.
			return fmt.Errorf("start the node again, it then rebuilds itself if it must: %w", err)
		}
		if rebuilds = append(rebuilds, time.Now()); len(rebuilds) > rebuildsMax {
			if time.Since(rebuilds[0]) < rebuildsWithin {
				return fmt.Errorf("damaged again after %d rebuilds in %s: its disk or memory must be looked at: %w", rebuildsMax, time.Since(rebuilds[0]).Round(time.Second), err)
			}
			rebuilds = rebuilds[1:]
		}
		if err := rebuild(ctx, &cfg, err); err != nil {
			if ctx.Err() != nil {
				return nil // told to stop before it had begun anew
			}
			return err
		}
	}
}

// serve runs a node on the data that is there.
func serve(ctx context.Context, cfg Config) (err error) {
	st, err := openStore(&cfg)
	if err != nil {
		return err
	}
	// The parts live longer than ctx: leadership is handed over first.
	work, stop := context.WithCancelCause(context.Background())
	fail := stopThenNote(stop, st.NoteDamage, cfg.Logger)
	defer func() {
		fail(context.Cause(work)) // whoever found damage may not have come to noting it
		err = errors.Join(err, st.Close())
	}()
	defer stop(nil)
	n, err := newNode(work, fail, cfg, st)
	if err != nil {
		return err
	}
	defer n.closeBuses()
	starting, started := context.WithCancel(work)
	defer started()
	context.AfterFunc(ctx, started)
	if err := n.connect(starting); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had begun
		}
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	n.startWorkers(&wg, work)
	wg.Go(func() { n.scrub(work, st) })
	if err := n.service.start(); err != nil {
		return err
	}
	withdraw, err := n.announce()
	if err != nil {
		return err
	}
	n.settle()
	n.log.Info("started", "name", cfg.Name, "clients", n.clients.URL(), "index", n.published().Index, "revision", n.published().Revision)
	select {
	case <-work.Done():
		// At once, and not when a disk that hangs lets the workers end: until then
		// clients would ask a node that does not answer.
		n.closeBuses()
		return fmt.Errorf("the node stops: %w", context.Cause(work))
	case <-ctx.Done():
	}
	withdraw()
	n.handOver(work)
	return nil
}

// startWorkers starts the goroutines that the package's documentation lists.
func (n *Node) startWorkers(wg *sync.WaitGroup, ctx context.Context) {
	n.checkSpace()
	wg.Go(func() { n.watchSpace(ctx) })
	wg.Go(func() { n.watchLag(ctx) })
	wg.Go(func() { n.consensus.run(ctx) })
	wg.Go(func() { n.appender.run(ctx) })
	wg.Go(func() { n.applier.run(ctx) })
	wg.Go(func() { n.locks.run(ctx) })
	wg.Go(func() { n.keeper.run(ctx) })
	wg.Go(func() { n.follow(ctx) })
	wg.Go(func() { n.watchDigests(ctx) })
	if n.joining.replaced() {
		wg.Go(func() { n.joining.vouch(ctx) })
	}
	for range readersCount {
		wg.Go(func() { n.readers.run(ctx) })
	}
}

// handOver makes another node the leader, answers what still comes from those who
// do not know that yet, and lets go of the subscriptions, so that clients hardly
// notice that this node stops.
func (n *Node) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	others := len(n.cfg.Peers) > 1
	if others && n.consensus.role.Load().Leading {
		n.box.call(func(r *replica.Replica) { r.HandOver(0) })
		until(ctx, func() bool { return !n.consensus.role.Load().Leading })
	}
	n.locks.stop(ctx)
	n.box.do(func(c *consensus) { c.holder.move() })
	if err := n.service.leave(); err != nil {
		n.log.Warn("stopping: clients are still sent here", "error", err)
	}
	if others {
		n.linger(ctx)
	}
	if err := n.service.drain(ctx); err != nil {
		n.log.Warn("stopping: requests were left unanswered", "error", err)
	}
}

// linger returns when another node leads, nothing is unanswered and nothing new
// has come for quietFor, or after lingerMax.
func (n *Node) linger(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lingerMax)
	defer cancel()
	var taken int64
	var since time.Time
	until(ctx, func() bool {
		role, now := *n.consensus.role.Load(), n.responder.taken.Load()
		if now != taken || since.IsZero() {
			taken, since = now, time.Now()
		}
		settled := role.Leader != 0 && n.published().Term == role.Term
		return settled && n.responder.answered.Load() == now && time.Since(since) >= quietFor
	})
}

// until waits for ok or the end of ctx.
func until(ctx context.Context, ok func() bool) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) closeBuses() {
	if n.clients != nil {
		n.clients.Close()
	}
	if n.peers != nil {
		n.peers.Close()
	}
}
