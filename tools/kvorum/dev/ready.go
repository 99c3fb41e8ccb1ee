package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

const (
	readyPoll = 50 * time.Millisecond
	// readyPatience bounds one look.
	readyPatience = 3 * time.Second
	// readyReport is how often the user is told what is still missing.
	readyReport = 10 * time.Second
)

// waitReady waits until the cluster does its job: it answers a linearizable
// read, every node says that it is ready, and the fan-out answers. It has no
// limit of its own, because a node may have much to recover, but tells what it
// waits for.
func waitReady(ctx context.Context, l *layout, fanout bool, stderr io.Writer) error {
	report := time.NewTicker(readyReport)
	defer report.Stop()
	for {
		err := checkReady(ctx, l, fanout)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-report.C:
			fmt.Fprintf(stderr, "kvorum dev: not ready yet: %v; the logs are in %s\n", err, l.dir)
		case <-time.After(readyPoll):
		}
	}
}

// checkReady is one look at the cluster.
func checkReady(ctx context.Context, l *layout, fanout bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	c, err := client.Connect(ctx, strings.Join(l.urls(), ","))
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range l.ports {
		status, err := c.StatusOf(ctx, name(i))
		if err != nil {
			return fmt.Errorf("%s: %w", name(i), err)
		}
		if !status.GetReady() {
			return fmt.Errorf("%s answers and is not ready", name(i))
		}
	}
	if _, err := c.Get(ctx, "/"); err != nil && !errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("a linearizable read: %w", err)
	}
	if !fanout {
		return nil
	}
	if err := c.Call(ctx, api.SubjectSync, &kvpb.SyncRequest{}, new(kvpb.SyncResponse)); err != nil {
		return fmt.Errorf("the watch fan-out: %w", err)
	}
	return nil
}
