//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// status is what a node says of itself; nil where it does not answer.
func (c *cluster) status(ctx context.Context, n *node) *kvpb.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.admin.StatusOf(ctx, n.Name())
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.digests = append(c.digests, check.Digest{Node: n.Name(), Index: s.AppliedIndex, Digest: s.Digest})
	return s
}

// sameDigests holds what nodes told since the last time against each other.
func (c *cluster) sameDigests() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.digests
	c.digests = nil
	return check.Digests(seen)
}

// leader is the node that leads, nil where none says so before ctx ends.
func (c *cluster) leader(ctx context.Context) (leader *node) {
	_ = c.until(ctx, "a leader", func() error { // nil tells it as well
		for _, n := range c.nodes {
			if s := c.status(ctx, n); s != nil && s.Ready && s.Leader == n.Name() {
				leader = n
				return nil
			}
		}
		return errors.New("none says that it leads")
	})
	return leader
}

// healthy waits until every node serves and both buses are whole: all nodes are
// reachable for each other, and a fan-out answers through each of them.
func (c *cluster) healthy(ctx context.Context) error {
	return c.until(ctx, "a healthy cluster", func() error {
		for _, n := range c.nodes {
			s := c.status(ctx, n)
			if s == nil {
				return fmt.Errorf("%s does not answer", n.Name())
			}
			if !s.Ready {
				return fmt.Errorf("%s is not ready: %v", n.Name(), s.Alarms)
			}
			for _, m := range s.Members {
				if !m.Reachable {
					return fmt.Errorf("%s does not reach %s", n.Name(), m.Name)
				}
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.admin.Sync(ctx, client.All())
		return err
	})
}

// healPatience is how long the cluster may take to be well again after
// everything was healed: an election, a snapshot, a fan-out's next try.
const healPatience = 90 * time.Second

// until polls a condition until it holds.
func (c *cluster) until(ctx context.Context, what string, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s until %w: %w", what, ctx.Err(), err)
		}
	}
}

// agree waits until all nodes have applied the same, and compares their digests.
func (c *cluster) agree(ctx context.Context) error {
	err := c.until(ctx, "the same index on all nodes", func() error {
		indexes := map[uint64]bool{}
		for _, n := range c.nodes {
			s := c.status(ctx, n)
			if s == nil {
				return fmt.Errorf("%s does not answer", n.Name())
			}
			indexes[s.AppliedIndex] = true
		}
		if len(indexes) > 1 {
			return fmt.Errorf("they are at %v", indexes)
		}
		return nil
	})
	return errors.Join(err, c.sameDigests())
}
