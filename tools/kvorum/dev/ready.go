package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// waitReady waits until the cluster does its job: through every node it answers
// a linearizable read and the fan-out answers. It has no
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

// checkReady is one look at the cluster, through every node: a client of any
// must be served, and a node may have no route to the others yet.
func checkReady(ctx context.Context, l *layout, fanout bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for i, url := range l.urls() {
		if err := checkNode(ctx, url, name(i), fanout); err != nil {
			return fmt.Errorf("%s: %w", name(i), err)
		}
	}
	return nil
}

func checkNode(ctx context.Context, url, node string, fanout bool) error {
	c, err := client.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.StatusOf(ctx, node)
	if err != nil {
		return err
	}
	if !status.GetReady() {
		return errors.New("it answers and is not ready")
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
