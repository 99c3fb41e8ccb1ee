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
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/badgerstore"
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
	box       *mailbox
	consensus *consensus
	appender  *appender
	applier   *applier
	readers   *readers
	keeper    *keeper
	recent    *recent
	feed      *feed
	grants    *grants
	leases    *leases
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
func (n *Node) adopt(m *mvcc.Machine) error {
	p := m.Published()
	clock, err := openClock(p)
	if err != nil {
		return fmt.Errorf("reading the leases: %w", err)
	}
	n.box.put(func(in *inputs) { in.applied = append(in.applied, appliedTasks{clock: clock}) })
	n.current.Store(m)
	n.applier.machine = m
	n.recent.reset(p.Revision, p.Compacted)
	n.readers.published(p)
	return nil
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
	one := uint64(1)
	conf := &raftpb.ConfState{}
	for _, p := range cfg.Peers {
		conf.Voters = append(conf.Voters, p.ID())
	}
	slices.Sort(conf.Voters)
	return badgerstore.Open(badgerstore.Config{
		Dir:       cfg.DataDir,
		Identity:  badgerstore.Identity{ClusterID: cfg.ClusterID(), NodeID: cfg.self().ID(), Name: cfg.Name},
		Bootstrap: &raftpb.SnapshotMetadata{ConfState: conf, Index: &one, Term: &one},
		Logger:    cfg.Logger,
	})
}

// newNode puts the parts together. st is closed by the caller.
func newNode(ctx context.Context, fail func(error), cfg Config, st *badgerstore.Store) (*Node, error) {
	n := &Node{
		cfg: cfg, id: cfg.self().ID(), log: cfg.Logger, ctx: ctx, fail: fail,
		start: time.Now(), store: st, box: newMailbox(), settling: make(chan struct{}, 1),
	}
	machine, err := mvcc.Open(st.State(), st.Log().Checkpoint())
	if err != nil {
		return nil, fmt.Errorf("opening the state at index %d: %w", st.Log().Checkpoint(), err)
	}
	n.current.Store(machine)
	n.behind.Store(true) // until it is known to keep up
	p := machine.Published()
	clock, err := openClock(p)
	if err != nil {
		return nil, fmt.Errorf("reading the leases: %w", err)
	}
	n.leases = newLeases(cfg.Logger, n.box, clock)
	n.locks = newLocks(n)
	n.recent = newRecent(p.Revision, p.Compacted)
	n.readers = newReaders(n.published)
	n.joining = &joining{node: n, store: st}
	n.keeper = &keeper{node: n, due: make(chan struct{}, 1)}
	n.snapshots = &snapshots{node: n}
	n.grants = &grants{node: n}
	n.feed = &feed{ctx: ctx, node: cfg.Name, recent: n.recent, readers: n.readers, slots: make(chan struct{}, pollsMax), damaged: n.damaged}
	n.applier = &applier{
		queue: newQueue[applyItem](), machine: machine, box: n.box, recent: n.recent, readers: n.readers, locks: n.locks,
		wrote: n.keeper.wrote, fail: fail, applied: n.settle,
	}
	n.responder = responder{node: cfg.Name, stats: natsbus.NewStats(endpoints()), term: func() uint64 { return n.consensus.role.Load().Term }, damaged: n.damaged}
	return n, nil
}

// connect starts the buses and, between them, consensus.
func (n *Node) connect(ctx context.Context) (err error) {
	peers := map[uint64]natsbus.Peer{}
	for _, p := range n.cfg.Peers {
		peers[p.ID()] = natsbus.Peer{Name: p.Name, Address: p.Address}
	}
	n.peers, err = natsbus.StartPeer(ctx, natsbus.PeerConfig{
		NodeID: n.id, ClusterID: n.cfg.ClusterID(), Name: n.cfg.Name,
		Listen: n.cfg.PeerListen, Peers: peers, Secret: n.cfg.Secret, Logger: n.log,
	}, n.box)
	if err != nil {
		return fmt.Errorf("starting the peer bus: %w", err)
	}
	n.peers.HandleForward(n.passedOn)
	if err := n.joining.run(ctx); err != nil {
		return err
	}
	n.clients, err = natsbus.StartClient(natsbus.ClientConfig{
		Name: n.cfg.Name, Listen: n.cfg.Listen, RouteListen: n.cfg.RouteListen, Routes: n.cfg.Routes,
		ClusterName: n.cfg.Token, Secret: n.cfg.Secret, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("starting the client bus: %w", err)
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

func (n *Node) startConsensus() error {
	var nonce [8]byte
	if _, err := crand.Read(nonce[:]); err != nil {
		return err
	}
	r, err := replica.New(replica.Config{
		ID: n.id, Nonce: binary.BigEndian.Uint64(nonce[:]), Log: n.store.Log(), Applied: n.published().Index,
		Replaced: n.joining.replaced(), MinTerm: n.joining.membership().MinTerm,
		Rand: rand.Uint64, WallClock: func() int64 { return time.Now().UnixNano() },
		Logger: raftLogger{n.log},
	}, n.clock())
	if err != nil {
		return err
	}
	n.consensus = &consensus{
		box: n.box, replica: r, transport: n.peers, applier: n.applier, readers: n.readers,
		clock: n.clock, onRole: n.roleChanged, snapshot: n.snapshots.send,
		installing: func() { n.snapshots.wanted = true },
		leases:     n.leases,
		holder:     newHolder(n.id, n.forward),
	}
	n.consensus.role.Store(&replica.Role{})
	n.appender = &appender{
		queue: newQueue[appendItem](), log: n.store.Log(), box: n.box, fail: n.fail,
		send: func(t *replica.AppendTask) { n.consensus.send(t.Remote) }, install: n.snapshots.install,
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
		role   replica.Role
		behind bool
	}
	var done standing // what the subscriptions follow for good
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.settling:
		}
		role, behind := *n.consensus.role.Load(), n.behind.Load()
		if done == (standing{role, behind}) {
			continue
		}
		settled := role.Leader != 0 && n.published().Term == role.Term
		if err := n.service.follow(role, settled, behind); err != nil {
			n.fail(err)
			return
		}
		if settled {
			done = standing{role, behind}
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
