package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/badgerstore"
	rules "github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

const (
	// sourceTimeout is how long a node with damaged data looks for a majority
	// of others to copy it from.
	sourceTimeout = time.Minute
	// rebuildsMax within rebuildsWithin is how often a node rebuilds itself:
	// past that the machine is to be looked at. Every rebuild costs the others
	// an election.
	rebuildsMax    = 3
	rebuildsWithin = time.Hour
)

// errDiverged: the node's state is not that of a majority.
var errDiverged = errors.New("the state differs from that of a majority")

// isDamage tells errors that say that the data on disk is wrong for good, and
// is to be found so by the next start as well.
func isDamage(err error) bool { return errors.Is(err, store.ErrCorrupt) || errors.Is(err, errDiverged) }

// isDiskError tells errors of a disk that does not read or write what it
// should. What was acknowledged before may well be whole, so a later start may
// open it; this process does not: the kernel reports a failed flush once, and
// takes what was not written for written.
func isDiskError(err error) bool {
	for _, e := range []syscall.Errno{syscall.EIO, syscall.EUCLEAN, syscall.EBADMSG} {
		// Badger puts most errors into text.
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// stopThenNote returns what stops a node and then notes why, if it is damage: the
// disk may take long to write that, and the node must not answer meanwhile.
func stopThenNote(stop func(error), note func(reason string) error, log *slog.Logger) func(error) {
	return func(e error) {
		stop(e)
		if !isDamage(e) {
			return
		}
		// serve notes it before it closes the store.
		if err := note(oneLine(e)); err != nil && !errors.Is(err, store.ErrClosed) {
			log.Error("the damage could not be noted: the next start may not find it", "damage", oneLine(e), "error", err)
		}
	}
}

// damaged is a node whose data is not to be trusted: it takes part in nothing,
// tells its status, and looks for a majority of others to copy its data from.
type damaged struct {
	cfg     *Config
	reason  error
	known   map[uint64]uint64 // the founders, as far as its data still tells
	peers   *natsbus.PeerBus
	clients *natsbus.ClientBus
	self    rules.Self
}

// rebuild returns nil when the data directory is set up to begin anew: the node
// may be started on it. Until a majority of healthy others has elected a leader
// without this node, nothing in the directory is touched.
func rebuild(ctx context.Context, cfg *Config, reason error) error {
	d := &damaged{cfg: cfg, reason: reason, known: badgerstore.FoundersIn(cfg.DataDir),
		self: rules.Self{ID: cfg.self().ID(), Incarnation: newIncarnation(), Damaged: true, Founders: len(cfg.Peers)}}
	if len(cfg.Peers) == 1 {
		return d.noSource("a cluster of one node has no other to copy it from")
	}
	cfg.Logger.Error("this node's data is not to be trusted: it answers nothing from it, and looks for a majority of the others to copy it from", "reason", oneLine(reason))
	defer d.close()
	if err := d.listen(ctx); err != nil {
		return errors.Join(reason, err)
	}
	began := time.Now()
	g := &greeter{cfg: cfg, peers: d.peers}
	decision, err := g.decide(ctx, d.self, func(_ rules.Decision, missing string) error {
		if time.Since(began) >= sourceTimeout {
			return d.noSource("no healthy majority of the other members elected a leader without this node within " + sourceTimeout.String() + " (no help: " + missing + ")")
		}
		cfg.Logger.Warn("waiting for the others to elect a leader without this node, whose data is damaged (no help: " + missing + ")")
		return nil
	})
	if err != nil {
		return err
	}
	m := decision.Membership
	m.Reason = oneLine(reason)
	cfg.Logger.Warn("rebuilding: the damaged files are set aside, and the data is copied from the others", "aside", badgerstore.AsideDir(cfg.DataDir), "term", m.MinTerm)
	if err := badgerstore.Replace(cfg.store(), m); err != nil {
		return errors.Join(reason, err)
	}
	return nil
}

// noSource says what is damaged, where it is, and what to do.
func (d *damaged) noSource(why string) error {
	dir := d.cfg.DataDir
	do, when := "start the other members, then this one; where a majority is damaged, repair their disks first", "once its files are repaired"
	if len(d.cfg.Peers) == 1 {
		do, when = "repair the disk, or replace the directory by a copy that was made while the node was stopped", "once it is repaired, or to go on with what can still be read"
	}
	if exists(badgerstore.AsideDir(dir)) {
		do += "; the files that were found damaged first are in " + badgerstore.AsideDir(dir)
	}
	if exists(badgerstore.DamageFile(dir)) {
		do += "; " + when + ", remove " + badgerstore.DamageFile(dir)
	}
	return fmt.Errorf("the data in %s is damaged, or cannot be read and written, and %s: its files are left as they are: %s (%w)", dir, why, do, d.reason)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// listen starts the buses, with answers to hellos and to questions for this
// node's status and nothing else.
func (d *damaged) listen(ctx context.Context) (err error) {
	if d.peers, err = startPeers(ctx, d.cfg, nobody{}); err != nil {
		return err
	}
	d.peers.HandleForward(func(m *nats.Msg) {
		if m.Subject != subjectHello {
			respondError(m, api.Errorf(api.KindUnavailable, "this node's data is damaged: ask another"))
			return
		}
		respondHello(m, rules.Reply{Membership: rules.Membership{
			Incarnation: d.self.Incarnation, State: rules.StateDamaged, Founders: d.known,
		}})
	})
	if d.clients, err = startClients(d.cfg); err != nil {
		return err
	}
	conn, err := d.clients.Service()
	if err != nil {
		return err
	}
	_, err = conn.Subscribe(api.SubjectStatus+"."+d.cfg.Name, d.serveStatus)
	return err
}

func (d *damaged) close() {
	if d.clients != nil {
		d.clients.Close()
	}
	if d.peers != nil {
		d.peers.Close()
	}
}

func (d *damaged) serveStatus(m *nats.Msg) {
	_, f, err := bodyHeaders(m)
	if err == nil {
		err = f.unmarshal(m.Data, &kvpb.StatusRequest{})
	}
	var a answer
	if err == nil {
		a, err = f.answer(d.status(), 0)
	}
	if err != nil {
		respondError(m, err)
		return
	}
	a.header[api.HeaderNode] = []string{d.cfg.Name}
	_ = m.RespondMsg(&nats.Msg{Header: a.header, Data: a.body}) // fails only while stopping
}

func (d *damaged) status() *kvpb.StatusResponse {
	return &kvpb.StatusResponse{
		Node: d.cfg.Name, NodeId: d.self.ID, ClusterId: d.cfg.ClusterID(), Version: d.cfg.Version,
		Alarms: []string{string(api.KindCorrupt)}, State: api.StateDamaged, StateReason: oneLine(d.reason),
		Members: members(d.cfg, 0, d.peers),
	}
}

// nobody hears what other nodes send to a node that takes part in nothing.
type nobody struct{}

func (nobody) Receive(uint64, []*raftpb.Message) {}
func (nobody) PeerLost(uint64)                   {}

func oneLine(err error) string { return strings.Join(strings.Split(err.Error(), "\n"), "; ") }
