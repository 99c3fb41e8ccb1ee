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

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
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
