package client

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// link tells when the connection breaks, so that nobody waits for an answer
// that cannot come any more.
type link struct {
	nc     *nats.Conn
	events chan nats.Status

	mu     sync.Mutex
	ctx    context.Context // ends when the connection breaks
	cancel context.CancelFunc
	closed context.Context // ends with the client
	finish context.CancelFunc
}

func newLink(nc *nats.Conn) *link {
	l := &link{nc: nc, events: nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)}
	l.closed, l.finish = context.WithCancel(context.Background())
	l.ctx, l.cancel = context.WithCancel(l.closed)
	go l.run()
	return l
}

func (l *link) run() {
	for {
		select {
		case <-l.closed.Done():
			return
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
