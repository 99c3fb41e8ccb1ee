package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A server that hangs keeps its connections open. One that answers none of
// pings, each within pingPatience, and sends nothing else meanwhile, is left for
// another. A connection with subscriptions that brought nothing for quietEvery
// is doubted: every watch hears of progress more often than that.
const (
	pings        = 2
	pingPatience = 400 * time.Millisecond
	quietEvery   = time.Second
)

// link tells when the connection breaks, so that nobody waits for an answer
// that cannot come any more, and breaks it when its server hangs.
type link struct {
	nc       *nats.Conn
	owned    bool // it may be broken
	events   chan nats.Status
	doubting atomic.Bool

	mu     sync.Mutex
	ctx    context.Context // ends when the connection breaks
	cancel context.CancelFunc
	closed context.Context // ends with the client
	finish context.CancelFunc
}

func newLink(nc *nats.Conn, owned bool) *link {
	l := &link{nc: nc, owned: owned, events: nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)}
	l.closed, l.finish = context.WithCancel(context.Background())
	l.ctx, l.cancel = context.WithCancel(l.closed)
	go l.run()
	return l
}

func (l *link) run() {
	quiet := time.NewTicker(quietEvery)
	defer quiet.Stop()
	var last uint64
	for {
		select {
		case <-l.closed.Done():
			return
		case <-quiet.C:
			in := l.nc.Stats().InMsgs
			if in == last && l.nc.NumSubscriptions() > 1 { // one is for answers
				l.doubt()
			}
			last = in
		case status, ok := <-l.events:
			if !ok || status == nats.CLOSED {
				l.finish()
				return
			}
			l.mu.Lock()
			l.cancel()
			l.ctx, l.cancel = context.WithCancel(l.closed)
			l.mu.Unlock()
		}
	}
}

// doubt has the connection looked at. It returns at once.
func (l *link) doubt() {
	if l.owned && l.doubting.CompareAndSwap(false, true) {
		go func() {
			defer l.doubting.Store(false)
			l.examine()
		}()
	}
}

// examine moves to another server if this one does not answer.
func (l *link) examine() {
	before := l.nc.Stats()
	for range pings {
		if err := l.nc.FlushTimeout(pingPatience); !errors.Is(err, nats.ErrTimeout) {
			return // it answers, or the connection broke
		}
	}
	if now := l.nc.Stats(); l.nc.IsConnected() && now.InMsgs == before.InMsgs && now.Reconnects == before.Reconnects {
		_ = l.nc.ForceReconnect() // fails only where the connection is closed
	}
}

// current ends when the connection that is in use now breaks.
func (l *link) current() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// over tells that there will be no connection any more.
func (l *link) over() bool { return l.closed.Err() != nil }

func (l *link) close() {
	l.finish()
	l.nc.RemoveStatusListener(l.events)
}
