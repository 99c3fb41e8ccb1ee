package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvorum/kvorum/libs/core/bus"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.etcd.io/raft/v3/raftpb"
)

// The accounts of the peer bus. Raft's messages and snapshots have a route
// connection of their own to each peer. Requests have what is left: there are
// not more, since both sides ping each all the time.
const (
	accountRaft     = "RAFT"
	accountSnapshot = "SNAP"
	accountForward  = "FWD"
)

// Subjects of the peer bus; each is followed by the id of the node it is for.
const (
	subjectFrame    = "frame."
	subjectProbe    = "probe."
	subjectForward  = "forward."
	subjectSnapshot = "snapshot."
)

// Peer is another node of the cluster.
type Peer struct {
	Name    string // its PeerConfig.Name
	Address string // its PeerConfig.Listen as seen from here, host:port; the host may be a DNS name
}

// PeerConfig says how a node joins the peer bus.
type PeerConfig struct {
	NodeID, ClusterID uint64
	Name              string          // unique in the cluster
	Listen            string          // host:port for routes; port 0 is an ephemeral one
	Peers             map[uint64]Peer // by node id; the node itself is ignored
	Secret            string          // the cluster's; required
	Logger            *slog.Logger    `json:"-"` // nil discards
}

// PeerBus is a node's connection to the other nodes. It implements
// bus.Transport. All methods may be called from any goroutine.
type PeerBus struct {
	cfg     PeerConfig
	handler bus.Handler
	server  *embedded
	peers   map[uint64]*peer // never changed
	start   time.Time
	dropped atomic.Uint64

	raft, snap, fwd *nats.Conn

	forward      atomic.Pointer[func(*nats.Msg)]
	snapshot     atomic.Pointer[SnapshotHandler]
	snapshotIn   atomic.Bool   // a snapshot is being received
	snapshotIdle time.Duration // SnapshotIdle, shorter in tests
	ctx          context.Context
	cancel       context.CancelFunc
	wg           sync.WaitGroup
	closing      sync.Once
	closingLock  sync.Mutex   // orders wg.Add with closing
	handling     sync.RWMutex // read-locked while the handler runs
}

var _ bus.Transport = (*PeerBus)(nil)

// peer is what is known of another node.
type peer struct {
	id      uint64
	name    string
	out     *outbox
	heard   atomic.Int64  // time since PeerBus.start of the last sign of life, 0: never
	trigger chan struct{} // something closed: look whether it lives
}

// StartPeer joins the peer bus; peers that are not there yet are tried for
// ever. It fails within seconds when it cannot listen, naming the address. The
// handler may be called before StartPeer returns and is not called after Close
// has returned. ctx bounds the start only.
func StartPeer(ctx context.Context, cfg PeerConfig, h bus.Handler) (*PeerBus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &PeerBus{cfg: cfg, handler: h, peers: map[uint64]*peer{}, start: time.Now(), snapshotIdle: SnapshotIdle}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for id, p := range cfg.Peers {
		if id != cfg.NodeID {
			b.peers[id] = &peer{id: id, name: p.Name, out: newOutbox(), trigger: make(chan struct{}, 1)}
		}
	}
	opts, password, err := b.options()
	if err == nil {
		err = checkFree("peer bus", cfg.Listen)
	}
	if err == nil {
		b.server, err = startServer(opts, newServerLog(cfg.Logger, b.routeClosed), password)
	}
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("start the peer bus: %w", err)
	}
	if err := b.connect(); err != nil {
		b.Close()
		return nil, fmt.Errorf("start the peer bus: %w", err)
	}
	for _, p := range b.peers {
		b.wg.Go(func() { b.send(p) })
		b.wg.Go(func() { b.watch(p) })
	}
	return b, nil
}

// options are those of the embedded server.
func (b *PeerBus) options() (opts *server.Options, password string, err error) {
	if b.cfg.Secret == "" {
		return nil, "", errNoSecret
	}
	host, port, err := splitListen(b.cfg.Listen)
	if err != nil {
		return nil, "", err
	}
	var addresses []string
	for id, p := range b.cfg.Peers {
		if id != b.cfg.NodeID {
			addresses = append(addresses, p.Address)
		}
	}
	secret := routePassword("peer", b.cfg.Secret)
	routes, err := routeURLs(addresses, secret)
	if err != nil {
		return nil, "", err
	}
	password = newPassword()
	opts = &server.Options{
		ServerName: b.cfg.Name,
		Host:       "127.0.0.1", Port: server.RANDOM_PORT,
		MaxPayload: peerPayloadBytesMax, MaxPending: pendingBytes,
		NoSystemAccount: true, // nobody listens, and it takes a route connection of its own
		Cluster: server.ClusterOpts{
			Name: fmt.Sprintf("kvorum-%016x", b.cfg.ClusterID),
			Host: host, Port: port,
			Username: routeUser, Password: secret, AuthTimeout: 2,
			NoAdvertise: true, PoolSize: 1, PinnedAccounts: []string{accountRaft, accountSnapshot},
			PingInterval: time.Second, MaxPingsOut: 2, WriteDeadline: 2 * time.Second,
		},
		Routes: routes,
	}
	for _, name := range []string{accountRaft, accountSnapshot, accountForward} {
		acc := server.NewAccount(name)
		opts.Accounts = append(opts.Accounts, acc)
		opts.Users = append(opts.Users, internalUser(name, password, acc))
	}
	return opts, password, nil
}

// connect opens a connection for each account and subscribes to what is for
// this node.
func (b *PeerBus) connect() error {
	for user, nc := range map[string]**nats.Conn{accountRaft: &b.raft, accountSnapshot: &b.snap, accountForward: &b.fwd} {
		var err error
		if *nc, err = b.server.connect(user, b.cfg.Name); err != nil {
			return err
		}
	}
	me := fmt.Sprint(b.cfg.NodeID)
	for _, s := range []struct {
		nc      *nats.Conn
		subject string
		handle  nats.MsgHandler
	}{
		{b.raft, subjectFrame + me, b.receive},
		{b.raft, subjectProbe + me, b.answerProbe},
		{b.snap, subjectSnapshot + me, b.openSnapshot},
		{b.fwd, subjectForward + me + ".>", b.receiveForward},
	} {
		sub, err := s.nc.Subscribe(s.subject, s.handle)
		if err == nil {
			err = sub.SetPendingLimits(pendingMessages, pendingBytes)
		}
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.subject, err)
		}
	}
	return nil
}

// Send implements bus.Transport. It returns false for an unknown peer, for a
// message past MaxMessageBytes, and when PeerQueueBytes wait already.
func (b *PeerBus) Send(to uint64, msgs []*raftpb.Message) bool {
	p, ok := b.peers[to]
	return ok && b.ctx.Err() == nil && p.out.add(msgs)
}

// receive takes a frame from the network. What is not certainly for this node,
// of this cluster and from a known peer is dropped.
func (b *PeerBus) receive(m *nats.Msg) {
	a, msgs, err := decodeFrame(m.Data)
	p := b.peers[a.sender]
	if err != nil || a.cluster != b.cfg.ClusterID || a.target != b.cfg.NodeID || p == nil {
		if b.dropped.Add(1) == 1 {
			b.server.log.Warn("dropped a frame, as all like it will be without a further message", "cluster", a.cluster,
				"sender", a.sender, "target", a.target, "error", err)
		}
		return
	}
	b.hear(p)
	b.handling.RLock()
	defer b.handling.RUnlock()
	if b.ctx.Err() == nil {
		b.handler.Receive(a.sender, msgs)
	}
}

// Dropped is the number of frames refused so far: damaged, of another cluster,
// for another node or from an unknown one.
func (b *PeerBus) Dropped() uint64 { return b.dropped.Load() }

// Address is where the peer bus listens for routes, host:port.
func (b *PeerBus) Address() string { return b.server.srv.ClusterAddr().String() }

// Close leaves the peer bus. It returns within stopWithin, whatever hangs. The
// handler must not call it.
func (b *PeerBus) Close() {
	b.closing.Do(func() {
		b.closingLock.Lock()
		b.cancel()
		b.closingLock.Unlock()
		closed := within(stopWithin, func() {
			for _, nc := range []*nats.Conn{b.raft, b.snap, b.fwd} {
				if nc != nil {
					nc.Close()
				}
			}
			b.server.stop()
			b.wg.Wait()
			b.handling.Lock() // waits for the handler
			b.handling.Unlock()
		})
		if !closed {
			b.server.log.Error("peer bus: the server or a handler does not stop", "waited", stopWithin)
		}
	})
}

// goroutine runs f unless the bus is closing; Close waits for it.
func (b *PeerBus) goroutine(f func()) error {
	b.closingLock.Lock()
	defer b.closingLock.Unlock()
	if b.ctx.Err() != nil {
		return errClosed
	}
	b.wg.Go(f)
	return nil
}

var errClosed = errors.New("natsbus: the peer bus is closed")
