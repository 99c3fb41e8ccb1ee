package node

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/svc"
)

// Main reads the flags of kvorum-node and runs it.
func Main(ctx context.Context, args []string) error {
	fs := svc.Flags("kvorum-node")
	cfg := Config{Version: svc.Version}
	if mutant.Enabled {
		mutant.Plant(mutant.Bug(os.Getenv("KVORUM_MUTANT")))
	}
	fs.StringVar(&cfg.Name, "name", "", "this node's name, one of --peers")
	peers := fs.String("peers", "", "the founding members and their peer-bus addresses: NAME=HOST:PORT,...")
	fs.StringVar(&cfg.DataDir, "data-dir", "", "where this node keeps its data")
	fs.StringVar(&cfg.Listen, "listen", "127.0.0.1:4222", "address for NATS clients")
	fs.StringVar(&cfg.PeerListen, "peer-listen", "", "address for the other nodes' peer buses (default: the port in --peers, on every interface)")
	fs.StringVar(&cfg.RouteListen, "route-listen", "0.0.0.0:6222", "address for the routes of the client bus")
	routes := fs.String("routes", "", "client-bus route addresses of the other nodes: HOST:PORT,...")
	fs.StringVar(&cfg.Token, "cluster-token", "kvorum", "tells clusters apart whose members have the same names")
	secret := fs.String("secret-file", "", "file with the cluster's secret, the same on every node")
	retention := fs.String("auto-compaction-retention", "1h", "which history is kept: a duration, a number of revisions, or 0 for all")
	fs.Uint64Var(&cfg.MinFreeBytes, "min-free-bytes", 512<<20, "free disk space below which writes that grow the store are refused")
	fs.Uint64Var(&cfg.LogRetainBytes, "log-retain-bytes", 1<<30, "how much log is kept at most for a node that is away")
	fs.DurationVar(&cfg.ScrubInterval, "scrub-interval", 24*time.Hour, "how often all data is read and its checksums are verified, 0 for never")
	if err := svc.Parse(fs, args); err != nil {
		return err
	}
	var err error
	if cfg.Peers, err = ParsePeers(*peers); err != nil {
		return svc.Usagef("%v", err)
	}
	if cfg.Retention, err = ParseRetention(*retention); err != nil {
		return svc.Usagef("%v", err)
	}
	if *routes != "" {
		cfg.Routes = strings.Split(*routes, ",")
	}
	if *secret == "" {
		return svc.Usagef("--secret-file is missing: every route between nodes presents the cluster's secret")
	}
	if cfg.Secret, err = svc.ReadSecret(*secret); err != nil {
		return err
	}
	cfg.Logger = slog.Default().With("node", cfg.Name)
	if err := cfg.check(); err != nil {
		return svc.Usagef("%v", err)
	}
	if cfg.PeerListen == "" {
		_, port, err := net.SplitHostPort(cfg.self().Address)
		if err != nil {
			return svc.Usagef("--peers: %v", err)
		}
		cfg.PeerListen = net.JoinHostPort("0.0.0.0", port)
	}
	return Run(ctx, cfg)
}
