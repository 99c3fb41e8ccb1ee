package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
)

// awaitRebuilt waits until a node says that it is whole after one more rebuild.
func awaitRebuilt(t *testing.T, c *harness.Cluster, i, before int) {
	t.Helper()
	cl := c.Client()
	dir := c.Nodes[i].Flag("--data-dir")
	c.Until("the damaged node to be whole again", func(ctx context.Context) bool {
		s := c.Status(ctx, cl, i)
		return vouched(c.Nodes[i]) > before && s != nil && s.Ready && s.State == api.StateWhole && s.StateReason == "" &&
			missing(badgerstore.DamageFile(dir)) && missing(badgerstore.AsideDir(dir))
	})
}

// A node whose files were damaged while it was down rebuilds itself, and the
// cluster serves meanwhile.
func TestDamagedAtStart(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	cl := c.Client()
	putPrecious(t, ctx, cl)
	l := startLoad(t, c, 2)
	for name, damage := range map[string]func(p *harness.Process){
		"a value in the state": func(p *harness.Process) { flipAt(t, tables(t, p, "state-*"), preciousValue(7)) },
		"a key in the state":   func(p *harness.Process) { flipAt(t, tables(t, p, "state-*"), "/precious/05") },
		"an entry in the log":  func(p *harness.Process) { flipAt(t, tables(t, p, "log"), preciousValue(8)) },
		"a table cut off":      func(p *harness.Process) { truncate(t, tables(t, p, "state-*")[0]) },
		"the list of tables":   func(p *harness.Process) { remove(t, p, "state-*/MANIFEST") },
		"the log is gone":      func(p *harness.Process) { remove(t, p, "log") },
		"the identity is gone": func(p *harness.Process) { remove(t, p, "IDENTITY") },
		"noted, and not begun": func(p *harness.Process) { note(t, p) },
	} {
		victim := (c.Leader() + 1) % 3
		p := c.Nodes[victim]
		l.await(c, 100)
		stop(t, p)
		damage(p)
		before := vouched(p)
		p.Start()
		l.await(c, 100)
		t.Log("damaged:", name)
		awaitRebuilt(t, c, victim, before)
	}
	l.stop()
	l.wg.Wait()
	l.verify(t, ctx, cl)
	sameDigests(t, c)
	readPrecious(t, ctx, cl)
}

// A node with so much data that it serves before all is verified finds the damage
// afterwards.
func TestDamagedBehindStart(t *testing.T) {
	c := harness.Start(t, harness.Options{NodeFlags: []string{"--scrub-interval", "0"}})
	ctx := bounded(t)
	cl := c.Client()
	putPrecious(t, ctx, cl)
	large := make([]byte, 1<<20)
	for i := range 80 {
		if _, err := cl.Put(ctx, fmt.Sprintf("/large/%d", i), large); err != nil {
			t.Fatal(err)
		}
	}
	victim := (c.Leader() + 1) % 3
	p := c.Nodes[victim]
	awaitCheckpoint(t, c, victim)
	stop(t, p)
	flipAt(t, tables(t, p, "state-*"), preciousValue(7))
	before := vouched(p)
	p.Start()
	awaitRebuilt(t, c, victim, before)
	if !strings.Contains(p.Log(), "found by the verification behind the start") {
		t.Error("it was found by something else")
	}
	readPrecious(t, ctx, c.ClientOf(victim))
	sameDigests(t, c)
}

// A running node that reads what is damaged answers with an error, stops and
// rebuilds itself: nobody ever reads the damaged bytes.
func TestDamagedWhileRunning(t *testing.T) {
	for name, o := range map[string]harness.Options{
		"met by a read":      {NodeFlags: []string{"--scrub-interval", "0"}},
		"found by the scrub": {NodeFlags: []string{"--scrub-interval", "3s"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.Start(t, o)
			ctx := bounded(t)
			putPrecious(t, ctx, c.Client())
			victim := (c.Leader() + 1) % 3
			p := c.Nodes[victim]
			awaitCheckpoint(t, c, victim) // or it would write all again
			stop(t, p)
			p.Start()
			c.Leader()
			through := c.ClientOf(victim)
			c.Until("the node to serve", func(ctx context.Context) bool {
				s := c.Status(ctx, through, victim)
				return s != nil && s.Ready
			})
			flipAt(t, tables(t, p, "state-*"), preciousValue(70))
			if name == "met by a read" {
				c.Until("the damage to be met", func(ctx context.Context) bool {
					readPrecious(t, ctx, through, client.Serializable())
					return strings.Contains(p.Log(), "not to be trusted")
				})
			}
			awaitRebuilt(t, c, victim, 0)
			c.Until("all to be read", func(ctx context.Context) bool { return readPrecious(t, ctx, through) })
			sameDigests(t, c)
		})
	}
}

// A node whose state went another way is outvoted and rebuilds itself.
func TestDigestDiffers(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	putPrecious(t, ctx, c.Client())
	victim := c.Leader()
	p := c.Nodes[victim]
	awaitCheckpoint(t, c, victim)
	stop(t, p)
	divert(t, p)
	p.Start()
	awaitRebuilt(t, c, victim, 0)
	if !strings.Contains(p.Log(), "differs from that of a majority") {
		t.Error("it does not say why")
	}
	sameDigests(t, c)
	readPrecious(t, ctx, c.Client())
}

// Nodes that are all damaged do not found a new cluster, and touch nothing. When
// a majority is repaired, the last one rebuilds itself.
func TestAllDamaged(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	ctx := bounded(t)
	putPrecious(t, ctx, c.Client())
	var undo [3]func()
	founded := 0
	for i, p := range c.Nodes {
		founded += strings.Count(p.Log(), "founding the cluster")
		stop(t, p)
		undo[i] = flipAt(t, tables(t, p, "state-*"), preciousValue(i))
	}
	for _, p := range c.Nodes {
		p.Start()
	}
	c.Until("all to look for a healthy majority", func(context.Context) bool {
		for _, p := range c.Nodes {
			if strings.Count(p.Log(), "(damaged as well), ") == 0 {
				return false
			}
		}
		return true
	})
	for i, p := range c.Nodes {
		s := c.Status(ctx, c.ClientOf(i), i)
		if s == nil || s.State != api.StateDamaged || s.Ready || !strings.Contains(s.StateReason, "table") {
			t.Errorf("the status of %s: %v", p.Name, s)
		}
		founded -= strings.Count(p.Log(), "founding the cluster")
		if !missing(badgerstore.AsideDir(p.Flag("--data-dir"))) {
			t.Errorf("the files of %s were moved", p.Name)
		}
	}
	if founded != 0 {
		t.Error("the cluster was founded anew")
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.Client().Get(short, preciousKey(0), client.Serializable()); err == nil {
		t.Error("a damaged node answers")
	}
	for i, p := range c.Nodes[:2] {
		p.Kill()
		undo[i]()
		p.Start()
	}
	awaitRebuilt(t, c, 2, 0)
	readPrecious(t, ctx, c.Client())
	sameDigests(t, c)
}

// A node that has nobody to copy its data from says what to do, at every start,
// and leaves its files alone.
func TestDamagedSingleNode(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1, NodeFlags: []string{"--scrub-interval", "2s"}})
	ctx := bounded(t)
	p := c.Nodes[0]
	putPrecious(t, ctx, c.Client())
	stop(t, p)
	p.Start()
	c.Leader()
	undo := flipAt(t, tables(t, p, "state-*"), preciousValue(3))
	note := badgerstore.DamageFile(p.Flag("--data-dir"))
	for _, found := range []string{"found by the scrub", "found at"} {
		if code := p.Wait(); code != 1 {
			t.Fatalf("exit code %d", code)
		}
		last := p.Log()[strings.LastIndex(strings.TrimSpace(p.Log()), "\n")+1:]
		for _, says := range []string{found, "replace the directory by a copy", "remove " + note} {
			if !strings.Contains(last, says) {
				t.Errorf("%q is not in: %s", says, last)
			}
		}
		p.Start()
	}
	p.Wait()
	undo()
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	p.Start()
	c.Leader()
	if !readPrecious(t, ctx, c.Client()) {
		t.Error("not all is answered")
	}
}
