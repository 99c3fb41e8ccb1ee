//go:build linux

package diskerror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
	"github.com/kvorum/kvorum/tools/torture/powerfs"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A node whose disk fails for a moment rebuilds itself; one whose disk keeps
// failing ends, and is whole after a start on a disk that works. What was
// acknowledged is there all the time.
func TestDiskError(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	victim := c.Leader()
	p := c.Nodes[victim]
	p.Signal(syscall.SIGTERM)
	p.Wait()
	disk := moveOnto(t, p)
	p.Start()
	cl := c.Client()
	whole := func(ctx context.Context) bool {
		s := c.Status(ctx, cl, victim)
		return s != nil && s.Ready && s.State == api.StateWhole
	}
	c.Until("the node to be whole", whole)
	n := 0
	write := func() {
		n++
		c.Until("a write", func(ctx context.Context) bool {
			_, err := cl.Put(ctx, fmt.Sprintf("/n/%04d", n), []byte(fmt.Sprint(n)))
			return err == nil
		})
	}
	for _, lasting := range []bool{true, false} {
		for range 20 {
			write()
		}
		disk.FailWrites(syscall.EIO)
		if lasting {
			write()
			if code := p.Wait(); code != 1 || !strings.Contains(p.Log(), syscall.EIO.Error()) {
				t.Errorf("the node ends with %d", code)
			}
		} else {
			write()
		}
		disk.FailWrites(0)
		write()
		c.Until("the node to be whole again", func(ctx context.Context) bool {
			if !p.Running() {
				p.Start()
			}
			return whole(ctx)
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := c.ClientOf(victim).Range(ctx, client.Prefix("/n/"))
	if err != nil || len(r.KVs) != n {
		t.Errorf("%d keys, want %d: %v", len(r.KVs), n, err)
	}
}

// moveOnto moves a node's data onto a disk that can be made to fail.
func moveOnto(t *testing.T, p *harness.Process) *powerfs.FS {
	t.Helper()
	dir, backing := p.Flag("--data-dir"), filepath.Join(t.TempDir(), "backing")
	if err := os.Mkdir(backing, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, filepath.Join(backing, "files")); err != nil {
		t.Fatal(err)
	}
	disk, err := powerfs.Mount(dir, backing, powerfs.Options{})
	if err != nil {
		t.Skipf("NOT TESTED: no FUSE file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		p.Kill()
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return disk
}
