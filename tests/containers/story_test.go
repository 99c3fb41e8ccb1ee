package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

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

	held := holdLock(t, ctx, c)
	abandonKey(t, ctx, c)

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

	held.verify(t, ctx, c)
	s.eventually("the key of a lease that nobody renews is gone", func() error {
		if _, err := c.Get(ctx, abandoned); !errors.Is(err, client.ErrNotFound) {
			return fmt.Errorf("it is still there, or: %v", err)
		}
		return nil
	})

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

// abandoned is a key whose lease is never renewed.
const abandoned = "/abandoned"

func abandonKey(t *testing.T, ctx context.Context, c *client.Client) {
	t.Helper()
	lease, err := c.GrantLease(ctx, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, abandoned, nil, client.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
}

// heldLock is a lock that its holder keeps renewing, whatever happens to leaders.
type heldLock struct {
	session *client.Session
	fence   int64
}

func holdLock(t *testing.T, ctx context.Context, c *client.Client) heldLock {
	t.Helper()
	session, err := c.NewSession(ctx, client.SessionTTL(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	fence, err := client.NewMutex(session, "/held").Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return heldLock{session, fence}
}

// verify demands that the lock was never lost: what is fenced with it is written.
func (h heldLock) verify(t *testing.T, ctx context.Context, c *client.Client) {
	t.Helper()
	if err := h.session.Err(); err != nil {
		t.Errorf("a session that was renewed all the time was lost: %v", err)
	}
	res, err := c.Txn().If(client.LockHeld("/held", h.fence)).Then(client.Put("/fenced", nil)).Commit(ctx)
	if err != nil || !res.Succeeded {
		t.Errorf("the lock was lost: %v %v", res, err)
	}
	if err := h.session.Close(ctx); err != nil {
		t.Error(err)
	}
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
