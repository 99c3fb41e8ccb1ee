package cluster

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/tests/harness"
)

// A node that lost its disk comes back as a member, whatever part it had.
func TestLostDisk(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	l := startLoad(t, c, 4)
	for _, leads := range []bool{false, true} {
		l.await(c, 300)
		victim := c.Leader()
		if !leads {
			victim = (victim + 1) % 3
		}
		c.Nodes[victim].Kill()
		c.Nodes[victim].LoseDisk()
		l.await(c, 300)
		before := vouched(c.Nodes[victim])
		c.Nodes[victim].Start()
		c.Until("the node to be a full member again", func(context.Context) bool {
			return vouched(c.Nodes[victim]) > before
		})
		l.await(c, 300)
		// It counts again: with it and one other there is a quorum.
		other := (victim + 1) % 3
		c.Nodes[other].Kill()
		l.await(c, 300)
		c.Nodes[other].Start()
	}
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, c.Client())
	sameDigests(t, c)
}

// vouched counts how often a node has become a full member again.
func vouched(p *harness.Process) int {
	return strings.Count(p.Log(), "takes part in elections again")
}

// A node that lost its disk does not help a stale one to become leader: what
// only it and a node that is away had confirmed would be lost.
func TestLostDiskDoesNotElectAStaleLeader(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	leader := c.Leader()
	lost, stale := (leader+1)%3, (leader+2)%3
	c.Nodes[stale].Kill()
	if _, err := c.ClientOf(leader).Put(ctx, "/precious", []byte("acknowledged")); err != nil {
		t.Fatal(err)
	}
	c.Nodes[leader].Kill()
	c.Nodes[lost].Kill()
	c.Nodes[lost].LoseDisk()
	c.Nodes[lost].Start()
	c.Nodes[stale].Start()
	short, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	cl := c.ClientOf(stale)
	if _, err := cl.Put(short, "/refused", nil); err == nil {
		t.Fatal("the stale node and the one without a disk took a write")
	} else if k := api.KindOf(err); k != api.KindNoLeader && k != api.KindTimeout {
		t.Errorf("it was refused with %v", err)
	}
	c.Nodes[leader].Start()
	c.Until("writes again", func(ctx context.Context) bool {
		_, err := cl.Put(ctx, "/again", nil)
		return err == nil
	})
	if kv, err := cl.Get(ctx, "/precious"); err != nil || string(kv.Value) != "acknowledged" {
		t.Errorf("the acknowledged write is %q now (%v)", kv.Value, err)
	}
	c.Until("the node to be a full member again", func(context.Context) bool {
		return vouched(c.Nodes[lost]) == 1
	})
	sameDigests(t, c)
}
