package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/tests/harness"
)

// preciousValue is what putPrecious stores under a key.
func preciousValue(i int) string {
	return fmt.Sprintf("precious-%03d-%s", i, strings.Repeat("x", 200))
}

const preciousKeys = 100

func preciousKey(i int) string { return fmt.Sprintf("/precious/%03d", i) }

func putPrecious(t *testing.T, ctx context.Context, cl *client.Client) {
	t.Helper()
	for i := range preciousKeys {
		if _, err := cl.Put(ctx, preciousKey(i), []byte(preciousValue(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// readPrecious reads all through one node; it fails the test on a wrong answer,
// and tells whether all were answered.
func readPrecious(t *testing.T, ctx context.Context, cl *client.Client, opts ...client.ReadOption) bool {
	t.Helper()
	all := true
	for i := range preciousKeys {
		kv, err := cl.Get(ctx, preciousKey(i), opts...)
		switch {
		case api.KindOf(err) == api.KindNotFound:
			t.Fatalf("%s is not found", preciousKey(i))
		case err != nil:
			all = false
		case string(kv.Value) != preciousValue(i):
			t.Fatalf("%s is %q", preciousKey(i), kv.Value)
		}
	}
	return all
}

// stop ends a node in order, after which all its data is in tables.
func stop(t *testing.T, p *harness.Process) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		t.Fatalf("%s: exit code %d", p.Name, code)
	}
}

// awaitCheckpoint waits until a node needs nothing of its log after a restart.
func awaitCheckpoint(t *testing.T, c *harness.Cluster, i int) {
	t.Helper()
	cl := c.Client()
	c.Until("a checkpoint", func(ctx context.Context) bool {
		s := c.Status(ctx, cl, i)
		return s != nil && s.CheckpointIndex == s.AppliedIndex
	})
}

// tables are those of a node's log or state.
func tables(t *testing.T, p *harness.Process, of string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(p.Flag("--data-dir"), of, "*.sst"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no tables in %s: %v", p.Name, of, err)
	}
	return paths
}

// flip changes one bit of a file at an offset, and returns what undoes that.
func flip(t *testing.T, path string, offset int64) (undo func()) {
	t.Helper()
	change := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b [1]byte
		if _, err := f.ReadAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
	}
	change()
	return change
}

// flipAt flips a bit of the text where it first occurs in one of the files.
func flipAt(t *testing.T, paths []string, text string) (undo func()) {
	t.Helper()
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(raw, []byte(text)); i >= 0 {
			return flip(t, path, int64(i+len(text)/2))
		}
	}
	t.Fatalf("%q is in no table", text)
	return nil
}

func truncate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
}

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

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
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

func remove(t *testing.T, p *harness.Process, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(p.Flag("--data-dir"), pattern))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %v %v", pattern, paths, err)
	}
	if err := os.RemoveAll(paths[0]); err != nil {
		t.Fatal(err)
	}
}

// note leaves the directory as a crash does right after damage was found.
func note(t *testing.T, p *harness.Process) {
	t.Helper()
	s := openOffline(t, p)
	if err := errors.Join(s.NoteDamage("found by the test"), s.Close()); err != nil {
		t.Fatal(err)
	}
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

// divert changes the digest in a state, with checksums that match.
func divert(t *testing.T, p *harness.Process) {
	t.Helper()
	s := openOffline(t, p)
	ts := store.EndOf(s.Log().Checkpoint())
	view, err := s.State().Read(ts)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := view.Get([]byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	meta = bytes.Clone(meta)
	view.Close()
	meta[len(meta)-1] ^= 1
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(meta, crc32.Update(crc32.Checksum([]byte("m"), table), table, meta[4:]))
	err = s.State().Write([]store.Mutation{{Key: []byte("m"), Value: meta, TS: ts}})
	if err := errors.Join(err, s.State().Sync(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// openOffline opens the data of a node that is down.
func openOffline(t *testing.T, p *harness.Process) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(badgerstore.Config{Dir: p.Flag("--data-dir"), Identity: identity(t, p)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identity(t *testing.T, p *harness.Process) (id badgerstore.Identity) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(p.Flag("--data-dir"), "IDENTITY"))
	if err == nil {
		err = json.Unmarshal(raw, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
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
