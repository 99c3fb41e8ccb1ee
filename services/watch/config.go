package watch

import (
	"context"
	"log/slog"
	"os"

	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/svc"
)

// Config says how a replica runs.
type Config struct {
	Name        string   // unique among the processes on the client bus
	Routes      []string // route addresses of the nodes' client bus, host:port
	RouteListen string   // where other servers of the client bus connect
	ClusterName string   // of the client bus, the same everywhere
	Secret      string   // of the routes, the same everywhere
	WindowBytes int      // of recent events kept in memory
	Logger      *slog.Logger
}

// Main reads the command line and runs a replica until ctx ends.
func Main(ctx context.Context, args []string) error {
	fs := svc.Flags("kvorum-watch")
	var cfg Config
	if mutant.Enabled {
		mutant.Plant(mutant.Bug(os.Getenv("KVORUM_MUTANT")))
	}
	fs.StringVar(&cfg.Name, "name", "", "name of this replica, unique in the cluster")
	fs.StringSliceVar(&cfg.Routes, "routes", nil, "client-bus route addresses of the nodes, host:port,...")
	fs.StringVar(&cfg.RouteListen, "route-listen", "127.0.0.1:0", "host:port where other servers of the client bus connect")
	secretFile := fs.String("secret-file", "", "file with the cluster's secret")
	fs.StringVar(&cfg.ClusterName, "cluster-token", "kvorum", "name of the cluster, the same on all its parts")
	fs.IntVar(&cfg.WindowBytes, "window-bytes", fanout.WindowBytes, "memory for recent events, which history is answered from")
	if err := svc.Parse(fs, args); err != nil {
		return err
	}
	switch {
	case cfg.Name == "":
		return svc.Usagef("--name is missing")
	case len(cfg.Routes) == 0:
		return svc.Usagef("--routes is missing: name the client-bus route address of one node at least")
	case *secretFile == "":
		return svc.Usagef("--secret-file is missing")
	case cfg.WindowBytes < 1<<20:
		return svc.Usagef("--window-bytes %d: want 1048576 at least", cfg.WindowBytes)
	}
	secret, err := svc.ReadSecret(*secretFile)
	if err != nil {
		return err
	}
	cfg.Secret = secret
	cfg.Logger = slog.Default()
	return Run(ctx, cfg)
}
