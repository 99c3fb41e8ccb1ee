package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kvorum/kvorum/tests/harness"
)

// A node whose disk is full stops with a message rather than by a signal, says
// so when it is started, and has everything again when there is space.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("NOT TESTED: mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	c := harness.Start(t, harness.Options{Nodes: 1, NodeFlags: []string{"--data-dir", filepath.Join(dir, "node"), "--min-free-bytes", "200000000"}})
	ctx := bounded(t)
	putPrecious(t, ctx, c.Client())
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, dir, ballast)
	p := c.Nodes[0]
	for _, says := range []string{"of disk are left", "not enough free disk space"} {
		if code := p.Wait(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		if log := strings.TrimSpace(p.Log()); !strings.Contains(log[strings.LastIndex(log, "\n")+1:], says) {
			t.Errorf("its last line does not say %q:\n%s", says, log)
		}
		p.Start()
	}
	p.Wait()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	p.Start()
	c.Leader()
	if !readPrecious(t, ctx, c.Client()) {
		t.Error("not all is answered")
	}
}

// fillDisk leaves less than a node needs to go on, and some for it to close its
// files.
func fillDisk(t *testing.T, dir, ballast string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const left = 40 << 20
	zeros := make([]byte, 1<<20)
	for free := int64(fs.Bavail) * fs.Bsize; free > left; free -= int64(len(zeros)) {
		if _, err := f.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
}
