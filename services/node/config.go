package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/badgerstore"
)

// Config describes a node. Run checks it.
type Config struct {
	// Name is this node's, one of Peers.
	Name string
	// Peers are the founding members with the addresses of their peer buses.
	Peers []Peer
	// Token tells clusters with the same members apart.
	Token   string
	DataDir string
	// Listen is the address for NATS clients, PeerListen for the other nodes'
	// peer buses, RouteListen for the routes of the client bus.
	Listen, PeerListen, RouteListen string
	// Routes are the client-bus addresses of the other nodes.
	Routes []string
	// Secret is what every route presents.
	Secret string
	// Retention of revisions; older ones are compacted by the leader.
	Retention Retention
	// MinFreeBytes of disk space, below which writes that grow are refused.
	MinFreeBytes uint64
	// LogRetainBytes is how much log a follower that is away keeps at most.
	LogRetainBytes uint64
	// ScrubInterval is how often all data is read and its checksums are
	// verified; 0 never.
	ScrubInterval time.Duration
	Version       string
	Logger        *slog.Logger
}

// Peer is a founding member.
type Peer struct {
	Name    string
	Address string // host:port of its peer bus
}

// ID is a node's id, made from its name.
func (p Peer) ID() uint64 { return hashID("node", p.Name) }

// ClusterID is made from the founding members' names and the token.
func (c *Config) ClusterID() uint64 {
	names := make([]string, 0, len(c.Peers)+1)
	for _, p := range c.Peers {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return hashID("cluster", append(names, c.Token)...)
}

// hashID is never 0, which raft reserves, nor among raft's local targets.
func hashID(kind string, parts ...string) uint64 {
	h := sha256.New()
	for _, p := range append([]string{kind}, parts...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write([]byte(p))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))>>1 | 1
}

// ParsePeers reads "NAME=HOST:PORT,...".
func ParsePeers(s string) ([]Peer, error) {
	var peers []Peer
	for part := range strings.SplitSeq(s, ",") {
		name, address, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--peers: %q is not NAME=HOST:PORT", part)
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("--peers: the address of %s: %w", name, err)
		}
		peers = append(peers, Peer{name, address})
	}
	return peers, nil
}

// Retention says which revisions automatic compaction keeps: those of the last
// Age, or the last Revisions; both 0: all.
type Retention struct {
	Age       time.Duration
	Revisions int64
}

// ParseRetention reads a duration ("1h"), a number of revisions ("10000") or "0".
func ParseRetention(s string) (Retention, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return Retention{Revisions: n}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= time.Second {
		return Retention{Age: d}, nil
	}
	return Retention{}, fmt.Errorf("--auto-compaction-retention: %q is neither a duration of at least 1s nor a number of revisions", s)
}

// check refuses a configuration that cannot work, and says what to change.
func (c *Config) check() error {
	switch n := len(c.Peers); n {
	case 1, 3, 5, 7:
	default:
		return fmt.Errorf("--peers names %d nodes: a cluster is founded by 1, 3, 5 or 7", n)
	}
	seen := map[string]bool{}
	found := false
	for _, p := range c.Peers {
		if strings.ContainsAny(p.Name, " .*>\t\r\n") || p.Name == "" {
			return fmt.Errorf("--peers: the name %q may not be empty or contain spaces, dots, * or >", p.Name)
		}
		if seen[p.Name] || seen[p.Address] {
			return fmt.Errorf("--peers: %s=%s repeats a name or an address", p.Name, p.Address)
		}
		seen[p.Name], seen[p.Address] = true, true
		found = found || p.Name == c.Name
	}
	if !found {
		return fmt.Errorf("--name %q is not among --peers", c.Name)
	}
	if c.ScrubInterval != 0 && c.ScrubInterval < time.Second {
		return fmt.Errorf("--scrub-interval %s: it must be at least 1s, or 0 for never", c.ScrubInterval)
	}
	if c.DataDir == "" {
		return fmt.Errorf("--data-dir is missing: say where this node keeps its data")
	}
	if len(c.Secret) < 16 {
		return fmt.Errorf("the cluster secret is missing or shorter than 16 bytes: give --secret-file, the same on every node")
	}
	return nil
}

// store says what the data directory is.
func (c *Config) store() badgerstore.Config {
	one := uint64(1)
	conf := &raftpb.ConfState{}
	for _, p := range c.Peers {
		conf.Voters = append(conf.Voters, p.ID())
	}
	slices.Sort(conf.Voters)
	return badgerstore.Config{
		Dir:       c.DataDir,
		Identity:  badgerstore.Identity{ClusterID: c.ClusterID(), NodeID: c.self().ID(), Name: c.Name},
		Bootstrap: &raftpb.SnapshotMetadata{ConfState: conf, Index: &one, Term: &one},
		Logger:    c.Logger,
	}
}

// self is this node's entry in Peers.
func (c *Config) self() Peer {
	i := slices.IndexFunc(c.Peers, func(p Peer) bool { return p.Name == c.Name })
	return c.Peers[i]
}
