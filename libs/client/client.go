package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 10 * time.Second

// Client talks to one Kvorum cluster over one NATS connection.
type Client struct {
	nc      *nats.Conn
	owned   bool
	timeout time.Duration
	link    *link

	listening sync.Mutex
	listener  *listener // of the watches; nil while there are none
}

// Option configures a Client.
type Option func(*config)

type config struct {
	timeout time.Duration
	nats    []nats.Option
}

// Timeout bounds every call whose context has no deadline; DefaultTimeout if it
// is not given.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// NATS adds options for the connection that Connect makes: credentials, TLS,
// names. New ignores them.
func NATS(opts ...nats.Option) Option {
	return func(c *config) { c.nats = append(c.nats, opts...) }
}

// Connect connects to the NATS servers in urls, separated by commas; any one of
// them will do, and the connection moves to another when its server dies or
// hangs. It fails with ErrUnavailable if none answers before ctx ends.
func Connect(ctx context.Context, urls string, opts ...Option) (*Client, error) {
	cfg := configOf(opts)
	ctx, cancel := withDeadline(ctx, cfg.timeout)
	defer cancel()
	natsOptions := append([]nats.Option{
		nats.Name("kvorum client"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		// A request is repeated anyway: nothing should wait for a connection
		// and then be sent twice.
		nats.ReconnectBufSize(-1),
		// What a hung server does not take must not hold up everything else.
		nats.FlusherTimeout(time.Second),
		nats.ReconnectOnFlusherError(),
		// Messages that a watch lost come back as history.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, cfg.nats...)
	for pause := newBackoff(); ; {
		nc, err := nats.Connect(urls, natsOptions...)
		if err == nil {
			return newClient(nc, cfg, true), nil
		}
		if !pause.sleep(ctx, noLeaderPause) {
			return nil, withCause(api.Errorf(api.KindUnavailable,
				"cannot connect to %s: %v: check the addresses and that a node runs there", urls, err), ctx)
		}
	}
}

// New uses a connection that the caller made and will close. Requests that are
// in flight when it breaks are repeated at once if it has
// nats.ReconnectBufSize(-1), as Connect's have.
//
// A server that hangs is left only when nc notices it, by nats.PingInterval.
func New(nc *nats.Conn, opts ...Option) *Client { return newClient(nc, configOf(opts), false) }

func newClient(nc *nats.Conn, cfg config, owned bool) *Client {
	return &Client{nc: nc, owned: owned, timeout: cfg.timeout, link: newLink(nc, owned)}
}

func configOf(opts []Option) config {
	cfg := config{timeout: DefaultTimeout}
	for _, o := range opts {
		o(&cfg)
	}
	return cfg
}

// Close ends the client and, if Connect made it, the connection. Watches end
// with ErrUnavailable.
func (c *Client) Close() {
	c.link.close()
	if c.owned {
		c.nc.Close()
	}
}

// Conn is the connection in use.
func (c *Client) Conn() *nats.Conn { return c.nc }

// withDeadline gives ctx a deadline where it has none.
func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// withCause makes err match the error of a context that ended as well.
func withCause(err *api.Error, ctx context.Context) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, ctx.Err())
}
