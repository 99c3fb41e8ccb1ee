package watch

import (
	"context"
	"log/slog"
	"time"

	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// Run runs a replica until ctx ends; it then gives up the grant, so that another
// takes over at once, and returns nil. A replica that fails is started anew, as
// another one, with its connections. An error means that it could not start.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	bus, err := natsbus.StartClient(natsbus.ClientConfig{
		Name: cfg.Name, RouteListen: cfg.RouteListen, Routes: cfg.Routes,
		ClusterName: cfg.ClusterName, Secret: cfg.Secret, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	defer bus.Close()
	for {
		err := runReplica(ctx, cfg, bus)
		if ctx.Err() != nil {
			return nil
		}
		cfg.Logger.Error("the replica failed and is started anew", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartAfter):
		}
	}
}

// clock gives Instants: nanoseconds since the process started, also while it
// is stopped by a signal.
func clock() fanout.Instant { return fanout.Instant(time.Since(processStart)) }

var processStart = time.Now()
