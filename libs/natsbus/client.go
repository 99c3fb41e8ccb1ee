package natsbus

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The accounts and users of the client bus. Clients come without credentials
// and are userAnonymous. The others can only be had from inside a process that
// runs a server of the bus.
const (
	accountKV   = "KV"
	accountFeed = "FEED"

	userAnonymous = "anonymous"
	userService   = "service"
	userInternal  = "internal"
)

// ClientConfig says how a process joins the client bus.
type ClientConfig struct {
	Name string // unique on the client bus
	// Listen is where clients connect, host:port; port 0 is an ephemeral one.
	// Empty: nobody connects but this process.
	Listen      string
	RouteListen string   // host:port for the other servers of the client bus
	Routes      []string // host:port of other servers; one suffices, the rest is learned
	ClusterName string   // the same on all
	Secret      string   // the same on all; required
	Logger      *slog.Logger
}

// ClientBus is one server of the client bus. All methods may be called from
// any goroutine.
type ClientBus struct {
	cfg    ClientConfig
	server *embedded

	mu    sync.Mutex
	conns []*nats.Conn // all that Service and Internal opened; nil once closed
	done  bool
}

// StartClient runs a server of the client bus; other servers that are not
// there yet are tried for ever. It fails within seconds when it cannot listen,
// naming the address.
func StartClient(cfg ClientConfig) (*ClientBus, error) {
	opts, password, err := clientOptions(cfg)
	if err == nil && cfg.Listen != "" {
		err = checkFree("clients", cfg.Listen)
	}
	if err == nil {
		err = checkFree("routes", cfg.RouteListen)
	}
	b := &ClientBus{cfg: cfg}
	if err == nil {
		b.server, err = startServer(opts, newServerLog(cfg.Logger, nil), password)
	}
	if err != nil {
		return nil, fmt.Errorf("start the client bus: %w", err)
	}
	return b, nil
}

func clientOptions(cfg ClientConfig) (opts *server.Options, password string, err error) {
	if cfg.Secret == "" {
		return nil, "", errNoSecret
	}
	listen := cfg.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, port, err := splitListen(listen)
	if err != nil {
		return nil, "", err
	}
	routeHost, routePort, err := splitListen(cfg.RouteListen)
	if err != nil {
		return nil, "", err
	}
	secret := routePassword("client", cfg.Secret)
	routes, err := routeURLs(cfg.Routes, secret)
	if err != nil {
		return nil, "", err
	}
	opts = &server.Options{
		ServerName: cfg.Name,
		Host:       host, Port: port,
		MaxConn: MaxConnections, MaxSubs: MaxSubscriptions,
		MaxPayload: clientPayloadBytesMax, MaxControlLine: MaxControlLineBytes,
		MaxPending: ClientPendingBytes, WriteDeadline: ClientWriteDeadline,
		PingInterval: 20 * time.Second, MaxPingsOut: 2,
		LameDuckDuration: LameDuckWithin, LameDuckGracePeriod: LameDuckWithin / 20,
		NoSystemAccount: true, // nobody listens, and it takes a route connection of its own
		Cluster: server.ClusterOpts{
			Name: cfg.ClusterName,
			Host: routeHost, Port: routePort,
			Username: routeUser, Password: secret, AuthTimeout: 2,
			// The feed has a connection of its own, the clients what is left.
			NoAdvertise: true, PoolSize: 1, PinnedAccounts: []string{accountFeed},
			PingInterval: time.Second, MaxPingsOut: 2, WriteDeadline: 5 * time.Second,
		},
		Routes: routes,
	}
	password = newPassword()
	return opts, password, addClientAccounts(opts, cfg.Listen != "", password)
}

// addClientAccounts defines who may connect and do what.
func addClientAccounts(opts *server.Options, public bool, password string) error {
	kv, feed := server.NewAccount(accountKV), server.NewAccount(accountFeed)
	opts.Accounts = []*server.Account{kv, feed}
	opts.Users = []*server.User{
		internalUser(userService, password, kv),
		internalUser(userInternal, password, feed),
	}
	if public {
		if err := mapUnknown(kv); err != nil {
			return fmt.Errorf("map unknown operations: %w", err)
		}
		opts.Users = append(opts.Users, &server.User{
			Username: userAnonymous, Account: kv, Permissions: anonymousPermissions(),
		})
		opts.NoAuthUser = userAnonymous
	}
	return nil
}

// anonymousPermissions keep a client from speaking or answering in the name of
// the cluster. They are coarse on purpose: what NATS denies looks like a
// timeout to the client.
func anonymousPermissions() *server.Permissions {
	return &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{
			api.SubjectWatch + ">", "kvtail.>", api.SubjectProgress, api.SubjectProgress + ".>",
			"$SYS.>", "_R_.>", "$GR.>",
		}},
		Subscribe: &server.SubjectPermission{Deny: []string{"kv.>", SubjectUnknown + ">", subjectAt + ">"}},
	}
}

// Service opens a connection of this process to the clients' account, with all
// permissions. Close closes it.
func (b *ClientBus) Service() (*nats.Conn, error) { return b.connect(userService) }

// Internal opens a connection of this process to the account of the feed,
// which no client can reach and which has route connections of its own. Close
// closes it.
func (b *ClientBus) Internal() (*nats.Conn, error) { return b.connect(userInternal) }

func (b *ClientBus) connect(user string) (*nats.Conn, error) {
	nc, err := b.server.connect(user, b.cfg.Name+" "+user)
	if err != nil {
		return nil, fmt.Errorf("client bus: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		nc.Close()
		return nil, fmt.Errorf("client bus: closed")
	}
	b.conns = append(b.conns, nc)
	return nc, nil
}

// At is what stands before the subject of a request that AnswerAt sends to a
// server's process.
func At(server string) string { return fmt.Sprintf("%s%x.", subjectAt, server) }

// AnswerAt has the server send requests on the subjects, which are those of known
// operations, that its own clients publish to the process of one server, on
// At(server) + subject, instead of to any subscriber anywhere; or, if server is
// empty, to any again. Requests of other servers' clients stay as they are.
//
// That process must have subscribed to At(server) + subject and flushed that
// before, and must still answer what arrives there afterwards: a request that the
// server is just looking at may follow.
func (b *ClientBus) AnswerAt(subjects []string, server string) error {
	acc, err := b.server.srv.LookupAccount(accountKV)
	if err != nil {
		return fmt.Errorf("client bus: %w", err)
	}
	at := ""
	if server != "" {
		at = At(server)
	}
	for _, subject := range subjects {
		// A mapping that is there already is exchanged in its place.
		if err := acc.AddMapping(subject, at+subject); err != nil {
			return fmt.Errorf("client bus: map %s: %w", subject, err)
		}
	}
	return nil
}

// URL is where clients connect, nats://host:port.
func (b *ClientBus) URL() string { return "nats://" + b.server.srv.Addr().String() }

// RouteAddress is where the other servers of the bus connect, host:port.
func (b *ClientBus) RouteAddress() string { return b.server.srv.ClusterAddr().String() }

// Routes is the number of other servers that this one is connected to.
func (b *ClientBus) Routes() int { return b.server.srv.NumRemotes() }

// RouteSet is a number that is another one than at an earlier call if a route to
// another server was lost or came since; what was under way on a lost one may not
// have arrived.
func (b *ClientBus) RouteSet() uint64 {
	all, err := b.server.srv.Routez(nil)
	if err != nil {
		return 0 // it is never refused without options
	}
	// A route's id is larger than those of all before it.
	var newest uint64
	for _, r := range all.Routes {
		newest = max(newest, r.Rid)
	}
	return newest<<16 | uint64(len(all.Routes))
}

// LameDuck takes no further clients, asks those that are there to go to another
// server, closes them within LameDuckWithin and then stops the server. It also
// closes the connections of this process: what they still have to answer must
// be answered before.
func (b *ClientBus) LameDuck() { within(LameDuckWithin+stopWithin, b.server.srv.LameDuckShutdown) }

// Close closes all connections and stops the server. It returns within
// stopWithin, whatever hangs.
func (b *ClientBus) Close() {
	b.mu.Lock()
	conns := b.conns
	b.conns, b.done = nil, true
	b.mu.Unlock()
	closed := within(stopWithin, func() {
		for _, nc := range conns {
			nc.Close()
		}
		b.server.stop()
	})
	if !closed {
		b.server.log.Error("client bus: the server does not stop", "waited", stopWithin)
	}
}
