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
	readyPoll    = 50 * time.Millisecond
	readyPerCall = 2 * time.Second
	// readyReport is how often the user is told what is still missing.
	readyReport = 10 * time.Second
)

// waitReady waits until the cluster does its job: it answers a linearizable
// read, every node says that it is ready, and the fan-out answers. It has no
// limit of its own, because a node may have much to recover, but tells what it
// waits for.
func waitReady(ctx context.Context, l *layout, fanout bool, stderr io.Writer) error {
	var c *client.Client
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	report := time.NewTicker(readyReport)
	defer report.Stop()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := func() (err error) {
			if c == nil {
				ctx, cancel := context.WithTimeout(ctx, readyPerCall)
				defer cancel()
				if c, err = client.Connect(ctx, strings.Join(l.urls(), ",")); err != nil {
					c = nil
					return err
				}
			}
			return checkReady(ctx, c, len(l.ports), fanout)
		}()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-report.C:
			fmt.Fprintf(stderr, "kvorum dev: not ready yet: %v; the logs are in %s\n", err, l.dir)
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

// checkReady is one look at the cluster.
func checkReady(ctx context.Context, c *client.Client, nodes int, fanout bool) error {
	call := func(what string, f func(ctx context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, readyPerCall)
		defer cancel()
		if err := f(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	for i := range nodes {
		err := call(name(i), func(ctx context.Context) error {
			status, err := c.StatusOf(ctx, name(i))
			if err == nil && !status.GetReady() {
				err = errors.New("it answers and is not ready")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	err := call("a linearizable read", func(ctx context.Context) error {
		_, err := c.Get(ctx, "/")
		if errors.Is(err, &api.Error{Kind: api.KindNotFound}) {
			return nil
		}
		return err
	})
	if err != nil || !fanout {
		return err
	}
	return call("the watch fan-out", func(ctx context.Context) error {
		return c.Call(ctx, api.SubjectSync, &kvpb.SyncRequest{}, new(kvpb.SyncResponse))
	})
}
