package client

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// DefaultSessionTTL is the time to live of a session's lease where none is
// given: how long what it holds stays held after its process died.
const DefaultSessionTTL = 10 * time.Second

// A session is renewed when a third of its time has passed, so that two more
// renewals can fail.
const renewAfter = 3

// errSessionClosed ends a session whose user closed it.
var errSessionClosed = api.Errorf(api.KindUnavailable, "the session was closed")

// Session is a lease that keeps itself alive, and what it holds: keys that are
// put WithLease, locks, leaderships.
//
// It is lost when the server says that the lease is over, or when TTL has passed
// since the last renewal that was answered was sent, by this process's monotonic
// clock. The server counts from later and only ever longer, so the session is
// lost here before anybody else can have what it held. What no clock can help
// with is a process that is stopped, with its whole machine perhaps, between
// looking at the clock and writing: for that compare the fence, with LockHeld.
//
// A lost session stays lost: make a new one. It has one goroutine, and one for
// each name that it holds or leaves, which all end with it; a session ends with
// Close, with its Client, or when it is lost.
type Session struct {
	lease  int64
	ttl    time.Duration
	client *Client
	renew  func(ctx context.Context, patience time.Duration) error // one attempt

	ctx    context.Context // ends with the session; its cause says why
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	until  time.Time // what is certain
	places map[string]*place
}

// SessionOption configures a Session.
type SessionOption func(*sessionConfig)

type sessionConfig struct{ ttl time.Duration }

// SessionTTL is the time to live of the session's lease, instead of
// DefaultSessionTTL. Short ones notice a death soon, and lose the session when
// the cluster needs longer than that to choose a leader.
func SessionTTL(d time.Duration) SessionOption { return func(c *sessionConfig) { c.ttl = d } }

// NewSession grants a lease and keeps it alive. ctx bounds the call, not the
// session.
func (c *Client) NewSession(ctx context.Context, opts ...SessionOption) (*Session, error) {
	cfg := sessionConfig{ttl: DefaultSessionTTL}
	for _, o := range opts {
		o(&cfg)
	}
	ctx, cancel := withDeadline(ctx, c.timeout)
	defer cancel()
	for {
		sent := time.Now()
		lease, err := c.GrantLease(ctx, cfg.ttl)
		if err != nil {
			return nil, err
		}
		s := newSession(c, lease, sent)
		s.renew = func(ctx context.Context, patience time.Duration) error {
			return c.renewOnce(ctx, lease.ID, patience)
		}
		// The grant counts from its first attempt, which may be long ago.
		if s.Err() == nil {
			s.tasks.Go(s.run)
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, withCause(api.Errorf(api.KindTimeout, "the lease was granted too late to be kept alive"), ctx)
		}
	}
}

func newSession(c *Client, l Lease, sent time.Time) *Session {
	s := &Session{client: c, lease: l.ID, ttl: l.TTL, until: sent.Add(l.TTL), places: map[string]*place{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// renewOnce is one attempt to renew a lease; ErrLeaseNotFound if it is over.
func (c *Client) renewOnce(ctx context.Context, id int64, patience time.Duration) error {
	body, err := proto.Marshal(&kvpb.LeaseKeepAliveRequest{Ids: []int64{id}})
	if err != nil {
		return err
	}
	header := nats.Header{api.HeaderContentType: {api.ContentProtobuf}}
	reply, failed := c.attempt(ctx, request{subject: api.SubjectLeaseKeepAlive, header: header, body: body}, patience)
	if failed != nil {
		return failed.err
	}
	var resp kvpb.LeaseKeepAliveResponse
	if err := proto.Unmarshal(reply.Data, &resp); err != nil || len(resp.GetLeases()) != 1 {
		return api.Errorf(api.KindInternal, "the answer to a keep-alive is not one lease: %v", err)
	}
	return leaseError(resp.GetLeases()[0])
}

// Lease is the id of the session's lease, for WithLease.
func (s *Session) Lease() int64 { return s.lease }

// Done is closed when the session is lost or closed.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Err is nil while the session is certain to live: it looks at the clock itself.
// Then ErrLeaseNotFound if the session was lost, ErrUnavailable if it was closed.
func (s *Session) Err() error {
	if s.ctx.Err() == nil && !time.Now().Before(s.certain()) {
		s.cancel(api.Errorf(api.KindLeaseNotFound, "the session's lease could not be renewed for %v: what it held may be another's", s.ttl))
	}
	return context.Cause(s.ctx)
}

// Context is a context that ends with ctx or with the session, whose Err is its
// cause then.
func (s *Session) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return joined(ctx, s.ctx)
}

// joined is a context of ctx that ends with other as well, for other's cause.
func joined(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

// Close ends the session and revokes its lease, so that what it held is free at
// once. When it cannot be revoked before ctx ends, it runs out.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock() // so that no task is started any more
	s.cancel(errSessionClosed)
	s.mu.Unlock()
	s.tasks.Wait()
	_, err := s.client.RevokeLease(ctx, s.lease)
	if api.KindOf(err) == api.KindLeaseNotFound {
		return nil
	}
	return err
}

func (s *Session) certain() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// renewed: a renewal that was sent at a time was answered.
func (s *Session) renewed(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = sent.Add(s.ttl)
}

// task runs f beside the session, which waits for it when it is closed; false if
// the session is over. f must end when s.ctx does.
func (s *Session) task(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.tasks.Go(f)
	return true
}

// run renews the lease until the session is over.
func (s *Session) run() {
	longest := min(slowAttempt, s.ttl/renewAfter)
	next := s.certain().Add(s.ttl/renewAfter - s.ttl)
	patience, pause := min(quickAttempt, longest), newBackoff()
	for s.sleep(next) {
		sent := time.Now()
		ctx, cancel := context.WithDeadline(s.ctx, s.certain())
		err := s.renew(ctx, patience)
		cancel()
		switch {
		case err == nil:
			s.renewed(sent)
			next = sent.Add(s.ttl / renewAfter)
			patience, pause = min(quickAttempt, longest), newBackoff()
		case api.KindOf(err) == api.KindLeaseNotFound:
			s.cancel(err)
		default:
			next = time.Now().Add(pause.duration(min(busyPause, s.ttl/10)))
			patience = min(2*patience, longest)
		}
	}
}

// sleep waits until a time, or until the session's own if that is earlier; false
// if it is over then.
func (s *Session) sleep(until time.Time) bool {
	timer := time.NewTimer(min(time.Until(until), time.Until(s.certain())))
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
	case <-s.client.link.closed.Done():
		s.cancel(api.Errorf(api.KindUnavailable, "the client was closed, or its NATS connection"))
	case <-timer.C:
	}
	return s.Err() == nil
}
