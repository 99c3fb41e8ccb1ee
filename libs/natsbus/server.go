package natsbus

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// routeUser is the user name of every route; the password is made from the
// cluster's secret.
const routeUser = "route"

// routePassword makes a route's password. The two buses get different ones, so
// that who may join the client bus may not join the peer bus, and the server
// never takes a secret for the hash of one.
func routePassword(bus, secret string) string {
	sum := sha256.Sum256([]byte("kvorum " + bus + " route\x00" + secret))
	return hex.EncodeToString(sum[:])
}

// splitListen takes a listen address apart. Port 0 is an ephemeral port, which
// the server calls -1.
func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: want HOST:PORT: %w", listen, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// routeURLs makes the routes to the addresses, each host:port.
func routeURLs(addresses []string, password string) ([]*url.URL, error) {
	var urls []*url.URL
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("route %q: want HOST:PORT: %w", a, err)
		}
		urls = append(urls, &url.URL{Scheme: "nats-route", Host: a, User: url.UserPassword(routeUser, password)})
	}
	return urls, nil
}

// checkFree fails when nothing can listen on an address: the server itself
// tells of it only in its log.
func checkFree(what, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%s: cannot listen on %s (port taken?): %w", what, listen, err)
	}
	return l.Close()
}

// embedded is a running server and how this process connects to it.
type embedded struct {
	srv      *server.Server
	log      *slog.Logger
	password string // of the users that only this process may be
}

// startServer runs a server and returns when it listens on what.
func startServer(opts *server.Options, log *serverLog, password string) (*embedded, error) {
	opts.NoSigs = true
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server %s: %w", opts.ServerName, err)
	}
	srv.SetLoggerV2(log, false, false, false)
	e := &embedded{srv: srv, log: log.log, password: password}
	started := make(chan struct{})
	go func() {
		defer close(started)
		srv.Start()
	}()
	if err := waitListening(srv, log, started); err != nil {
		e.stop()
		return nil, fmt.Errorf("embedded NATS server %s (clients %s:%d, routes %s:%d): %w",
			opts.ServerName, opts.Host, opts.Port, opts.Cluster.Host, opts.Cluster.Port, err)
	}
	return e, nil
}

func waitListening(srv *server.Server, log *serverLog, started <-chan struct{}) error {
	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-log.fatal:
			return err
		case <-deadline.C:
			return fmt.Errorf("does not listen after %v", startWithin)
		case <-poll.C:
		}
		select {
		case <-started:
			if srv.Addr() != nil && srv.ClusterAddr() != nil {
				return nil
			}
		default:
		}
	}
}

// stop ends the server; after stopWithin it is left to end by itself.
func (e *embedded) stop() {
	stopped := within(stopWithin, func() {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	})
	if !stopped {
		e.log.Error("embedded NATS server does not stop", "server", e.srv.Name(), "waited", stopWithin)
	}
}

// within runs f and returns when it has or after d; false means that f still runs.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// connect opens a connection inside the process as one of the internal users.
func (e *embedded) connect(user, name string) (*nats.Conn, error) {
	nc, err := nats.Connect("",
		nats.InProcessServer(e.srv),
		nats.UserInfo(user, e.password),
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1),
		nats.IgnoreDiscoveredServers(),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			e.log.Warn("bus connection", "connection", name, "subject", subject, "error", err)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server as %s: %w", user, err)
	}
	return nc, nil
}

// internalUser is a user that only connections from inside this process can be.
func internalUser(name, password string, acc *server.Account) *server.User {
	return &server.User{
		Username: name, Password: password, Account: acc,
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeInProcess: {}},
	}
}

// newPassword is one that nobody outside of this process knows.
func newPassword() string { return rand.Text() }

var errNoSecret = errors.New("the cluster's secret is empty: whoever can open a route owns every account")
