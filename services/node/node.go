package node

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/bus"
	rules "github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// Node is a running storage node.
type Node struct {
	cfg Config
	id  uint64
	log *slog.Logger
	ctx context.Context
	// fail stops the node because of an error after which nothing may be
	// acknowledged.
	fail func(error)

	start     time.Time
	store     store.Node
	opened    member.Applied // the state's timers, for the member
	box       *mailbox
	consensus *consensus
	appender  *appender
	applier   *applier
	readers   *readers
	keeper    *keeper
	recent    *recent
	feed      *feed
	grants    *grants
	locks     *locks
	snapshots *snapshots

	peers     *natsbus.PeerBus
	clients   *natsbus.ClientBus
	service   *service
	responder responder

	current   atomic.Pointer[mvcc.Machine]
	freeBytes atomic.Uint64
	lowSpace  atomic.Bool
	settling  chan struct{} // the subscriptions are to be looked at again
	joining   *joining
	joined    atomic.Bool // consensus runs
	behind    atomic.Bool // the state is too far behind for reads
}

// damaged stops the node: data that fails a checksum once is not to be trusted
// anywhere, and while the node is up a share of all reads finds its way here.
func (n *Node) damaged(err error) {
	n.fail(fmt.Errorf("its data is damaged: %w", err))
}

func (n *Node) clock() int64 { return int64(time.Since(n.start)) + 1 }

func (n *Node) machine() *mvcc.Machine { return n.current.Load() }

func (n *Node) published() *mvcc.Published { return n.machine().Published() }

// name is a node's name for people.
func (n *Node) name(id uint64) string {
	if i := slices.IndexFunc(n.cfg.Peers, func(p Peer) bool { return p.ID() == id }); i >= 0 {
		return n.cfg.Peers[i].Name
	}
	return fmt.Sprintf("%016x", id)
}

// adopt makes m the state machine in use. The clock of leases is exchanged on
// the consensus goroutine, in the order of what is applied.
func (n *Node) adopt(m *mvcc.Machine, opened member.Applied) {
	p := m.Published()
	n.box.put(func(in *inputs) { in.Applied = append(in.Applied, opened) })
	n.current.Store(m)
	n.applier.machine = m
	n.recent.reset(p.Revision, p.Compacted)
	n.readers.published(p)
}

// internalRequest is a request of the node's own, whose answer nobody reads and
// which no other node is asked.
func (n *Node) internalRequest(endpoint string) *request {
	r := n.newRequest(&nats.Msg{}, endpoint)
	r.passed = true
	return r
}

// openStore opens the data directory, founding the cluster on the first start.
func openStore(cfg *Config) (*badgerstore.Store, error) {
	st, err := badgerstore.Open(cfg.store())
	if err == nil && st.Membership().State == rules.StateMember {
		// The node stopped between being whole again and this.
		err = st.ForgetDamaged()
	}
	return st, err
}

// newNode puts the parts together. st is closed by the caller.
func newNode(ctx context.Context, fail func(error), cfg Config, st *badgerstore.Store) (*Node, error) {
	n := &Node{
		cfg: cfg, id: cfg.self().ID(), log: cfg.Logger, ctx: ctx, fail: fail,
		start: time.Now(), store: st, box: newMailbox(), settling: make(chan struct{}, 1),
	}
	machine, opened, err := member.Open(st, st.Log().Checkpoint())
	if err != nil {
		return nil, err
	}
	n.opened = opened
	n.current.Store(machine)
	n.behind.Store(true) // until it is known to keep up
	p := machine.Published()
	n.locks = newLocks(n)
	n.recent = newRecent(p.Revision, p.Compacted)
	n.readers = newReaders(n.published, n.clock)
	n.joining = &joining{node: n, store: st}
	n.keeper = &keeper{node: n, due: make(chan struct{}, 1)}
	n.snapshots = &snapshots{node: n}
	n.grants = &grants{node: n}
	n.feed = &feed{ctx: ctx, node: cfg.Name, recent: n.recent, readers: n.readers, slots: make(chan struct{}, pollsMax), damaged: n.damaged}
	n.applier = &applier{
		queue: newQueue[member.ApplyItem](), machine: machine, box: n.box, recent: n.recent, readers: n.readers, locks: n.locks,
		wrote: n.keeper.wrote, fail: fail, applied: n.settle,
	}
	n.responder = responder{node: cfg.Name, stats: natsbus.NewStats(endpoints()), term: func() uint64 { return n.consensus.role.Load().Term }, damaged: n.damaged}
	return n, nil
}

// connect starts the buses and, between them, consensus.
func (n *Node) connect(ctx context.Context) (err error) {
	if n.peers, err = startPeers(ctx, &n.cfg, n.box); err != nil {
		return err
	}
	n.peers.HandleForward(n.passedOn)
	if err := n.joining.run(ctx); err != nil {
		return err
	}
	if n.clients, err = startClients(&n.cfg); err != nil {
		return err
	}
	n.service = &service{node: n}
	if n.service.conn, err = n.clients.Service(); err != nil {
		return err
	}
	if n.service.inner, err = n.clients.Internal(); err != nil {
		return err
	}
	return n.startConsensus()
}

func startPeers(ctx context.Context, cfg *Config, h bus.Handler) (*natsbus.PeerBus, error) {
	peers := map[uint64]natsbus.Peer{}
	for _, p := range cfg.Peers {
		peers[p.ID()] = natsbus.Peer{Name: p.Name, Address: p.Address}
	}
	b, err := natsbus.StartPeer(ctx, natsbus.PeerConfig{
		NodeID: cfg.self().ID(), ClusterID: cfg.ClusterID(), Name: cfg.Name,
		Listen: cfg.PeerListen, Peers: peers, Secret: cfg.Secret, Logger: cfg.Logger,
	}, h)
	if err != nil {
		return nil, fmt.Errorf("starting the peer bus: %w", err)
	}
	return b, nil
}

func startClients(cfg *Config) (*natsbus.ClientBus, error) {
	b, err := natsbus.StartClient(natsbus.ClientConfig{
		Name: cfg.Name, Listen: cfg.Listen, RouteListen: cfg.RouteListen, Routes: cfg.Routes,
		ClusterName: cfg.Token, Secret: cfg.Secret, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the client bus: %w", err)
	}
	return b, nil
}

func (n *Node) startConsensus() error {
	var nonce [8]byte
	if _, err := crand.Read(nonce[:]); err != nil {
		return err
	}
	m, err := member.New(replica.Config{
		ID: n.id, Nonce: binary.BigEndian.Uint64(nonce[:]), Log: watchedLog{n.store.Log(), n.damaged}, Applied: n.published().Index,
		Replaced: n.joining.replaced(), MinTerm: n.joining.membership().MinTerm,
		Rand: rand.Uint64, WallClock: func() int64 { return time.Now().UnixNano() },
		Logger: raftLogger{n.log},
	}, n.opened.Clock, n.clock())
	if err != nil {
		return err
	}
	n.consensus = &consensus{
		box: n.box, member: m, transport: n.peers, applier: n.applier, readers: n.readers,
		snapshots: n.snapshots, holder: newHolder(n.id, n.forward),
		clock: n.clock, onRole: n.roleChanged,
	}
	n.box.owner = n.consensus
	n.consensus.role.Store(&replica.Role{})
	n.appender = &appender{
		queue: newQueue[member.LogItem](), log: n.store.Log(), box: n.box, consensus: n.consensus,
		snapshots: n.snapshots, fail: n.fail,
	}
	n.consensus.appender = n.appender
	n.peers.HandleSnapshot(n.snapshots.receive)
	n.box.take() // what was sent to a node that was not yet a member
	n.joined.Store(true)
	return nil
}

// forward passes a client's request on to another node.
func (n *Node) forward(ctx context.Context, to uint64, m *nats.Msg) (*nats.Msg, error) {
	return n.peers.Forward(ctx, to, m.Subject, m.Header, m.Data)
}

// roleChanged runs on the consensus goroutine.
func (n *Node) roleChanged(role replica.Role) {
	n.grants.onRole(role)
	n.locks.onRole(role)
	n.settle()
	switch {
	case role.Serving:
		n.log.Info("leading and serving writes", "term", role.Term)
	case role.Leading:
		n.log.Info("leading, not serving writes yet", "term", role.Term)
	case role.Leader != 0:
		n.log.Info("following", "leader", n.name(role.Leader), "term", role.Term)
	default:
		n.log.Info("no leader is known", "term", role.Term)
	}
}

// settle has the subscriptions looked at again.
func (n *Node) settle() {
	select {
	case n.settling <- struct{}{}:
	default:
	}
}

// follow keeps the subscriptions as the role asks for, until ctx ends.
func (n *Node) follow(ctx context.Context) {
	type standing struct {
		role  replica.Role
		reads bool
	}
	var done standing // what the subscriptions follow for good
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.settling:
		}
		role := *n.consensus.role.Load()
		reads := answersReads(role, n.joining.replaced(), n.behind.Load())
		if done == (standing{role, reads}) {
			continue
		}
		settled := role.Leader != 0 && n.published().Term == role.Term
		if err := n.service.follow(role, settled, reads); err != nil {
			n.fail(err)
			return
		}
		if settled {
			done = standing{role, reads}
		}
	}
}

// endpoints are the operations as service discovery tells of them.
func endpoints() []natsbus.Endpoint {
	list := []natsbus.Endpoint{{Name: "status", Subject: api.SubjectStatus, QueueGroup: queueNodes}}
	for _, op := range operations() {
		list = append(list, natsbus.Endpoint{Name: op.name, Subject: op.subjects[0], QueueGroup: queueNodes})
	}
	return list
}

// announce answers service discovery.
func (n *Node) announce() (stop func(), err error) {
	return natsbus.Announce(n.service.conn, natsbus.ServiceInfo{
		Name: "kvorum-node", ID: n.cfg.Name, Version: n.cfg.Version,
		Description: "Kvorum storage node: quorum writes and linearizable reads",
		Endpoints:   endpoints(),
	}, n.responder.stats.Endpoints)
}
