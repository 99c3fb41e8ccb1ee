package containers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/client"
)

const prefix = "/containers/"

// TestStack writes while the leader's container is killed and another leader is
// cut off, and then demands that every acknowledged write is there, that a
// watch saw each change once, and that the three nodes hold the same state.
func TestStack(t *testing.T) {
	if os.Getenv("KVORUM_TEST_CONTAINERS") == "" {
		t.Skip("needs a Docker engine: set KVORUM_TEST_CONTAINERS=1, as make test does where one answers")
	}
	s := startStack(t)
	nodes := []string{"node-1", "node-2", "node-3"}
	s.waitHealthy(nodes...)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := client.Connect(ctx, strings.Join(s.urls, ","), client.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	seen := startWatch(t, c)
	load := startLoad(ctx, c)
	s.waitWrites(load)

	killed := s.leader(c)
	s.docker(killed, "kill")
	t.Log("killed the leader's container:", killed)
	s.waitWrites(load)
	s.docker(killed, "start")
	s.waitHealthy(killed)

	lone := s.leader(c)
	s.cut(lone)
	t.Log("cut the leader off its network:", lone)
	s.waitWrites(load)
	s.heal(lone)
	s.waitHealthy(nodes...)
	s.waitWrites(load)

	acknowledged := load.stop(t)
	t.Log("acknowledged writes:", len(acknowledged))
	found := map[string]bool{}
	for kv, err := range c.List(ctx, client.Prefix(prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		found[kv.Key] = true
	}
	for _, key := range acknowledged {
		if !found[key] {
			t.Errorf("%s was acknowledged and is missing", key)
		}
	}
	s.eventually("the watch has seen every key", func() error { return seen.has(found) })
	s.eventually("the nodes agree", func() error { return agree(ctx, c) })
}

// leader is the node that leads now.
func (s *stack) leader(c *client.Client) (name string) {
	s.t.Helper()
	s.eventually("a node knows the leader", func() error {
		status, err := c.Status(context.Background())
		if name = status.GetLeader(); err == nil && name == "" {
			err = fmt.Errorf("%s knows none", status.GetNode())
		}
		return err
	})
	return name
}

// agree tells whether all nodes have applied the same entries to the same effect.
func agree(ctx context.Context, c *client.Client) error {
	all, err := c.StatusAll(ctx)
	if err != nil {
		return err
	}
	if len(all) != 3 {
		return fmt.Errorf("%d members", len(all))
	}
	for _, n := range all {
		if n.Err != nil {
			return n.Err
		}
		a, b := all[0].Status, n.Status
		if a.GetAppliedIndex() != b.GetAppliedIndex() || a.GetDigest() != b.GetDigest() {
			return fmt.Errorf("%s: index %d, digest %s; %s: index %d, digest %s", a.GetNode(), a.GetAppliedIndex(),
				a.GetDigest(), b.GetNode(), b.GetAppliedIndex(), b.GetDigest())
		}
	}
	return nil
}
