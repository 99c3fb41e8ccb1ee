package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/tests/harness"
)

// start runs a node that must refuse to start and returns its exit code and
// what it says.
func start(t *testing.T, args ...string) (code int, says string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(harness.Bin(), "kvorum-node"), args...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("it started: %s", out)
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	if n := strings.Count(strings.TrimSpace(string(out)), "goroutine "); n > 0 {
		t.Fatalf("it ended in a panic:\n%s", out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// with is a node's arguments with one flag's value exchanged.
func with(args []string, flag, value string) []string {
	out := append([]string{}, args...)
	for i := range out {
		if out[i] == flag {
			out[i+1] = value
		}
	}
	return out
}

// A node that cannot work says why and what to do, in one line.
func TestRefusesToStart(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1})
	running := c.Nodes[0].Args()
	n := harness.Start(t, harness.Options{Nodes: 1})
	n.Nodes[0].Signal(syscall.SIGTERM)
	if code := n.Nodes[0].Wait(); code != 0 {
		t.Fatalf("a node that was stopped in order exits with %d", code)
	}
	args := n.Nodes[0].Args()
	value := func(args []string, flag string) string {
		for i := range args {
			if args[i] == flag {
				return args[i+1]
			}
		}
		t.Fatalf("no %s", flag)
		return ""
	}
	newer := filepath.Join(t.TempDir(), "newer")
	if out, err := exec.Command("cp", "-r", value(args, "--data-dir"), newer).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	makeNewer(t, newer)
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("tiny"), 0o600); err != nil {
		t.Fatal(err)
	}
	two := strings.Replace(value(args, "--peers"), "node-1=", "node-2=", 1)
	for name, in := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown flag":             {append(args, "--frobnicate"), 2, "frobnicate"},
		"not among the peers":      {with(args, "--name", "node-7"), 2, "node-7"},
		"malformed peers":          {with(args, "--peers", "node-1"), 2, "NAME=HOST:PORT"},
		"two founders":             {with(args, "--peers", value(args, "--peers")+",node-2=127.0.0.1:1"), 2, "1, 3, 5 or 7"},
		"malformed retention":      {append(args, "--auto-compaction-retention", "soon"), 2, "soon"},
		"no secret":                {with(args, "--secret-file", ""), 2, "--secret-file"},
		"missing secret":           {with(args, "--secret-file", "/does/not/exist"), 1, "/does/not/exist"},
		"short secret":             {with(args, "--secret-file", short), 1, "16"},
		"client port taken":        {with(args, "--listen", value(running, "--listen")), 1, value(running, "--listen")},
		"peer port taken":          {with(args, "--peer-listen", value(running, "--peer-listen")), 1, value(running, "--peer-listen")},
		"directory in use":         {with(args, "--data-dir", value(running, "--data-dir")), 1, "another"},
		"directory of another":     {with(with(args, "--name", "node-2"), "--peers", two), 1, "node-1"},
		"directory of a cluster":   {append(args, "--cluster-token", "other"), 1, "cluster"},
		"newer format":             {with(args, "--data-dir", newer), 1, "newer"},
		"directory is a file":      {with(args, "--data-dir", short), 1, short},
		"more space than there is": {append(args, "--min-free-bytes", "1000000000000000"), 1, "space"},
	} {
		t.Run(name, func(t *testing.T) {
			code, says := start(t, in.args...)
			last := strings.TrimSpace(says)
			last = last[strings.LastIndex(last, "\n")+1:]
			if code != in.code || !strings.Contains(last, in.says) {
				t.Errorf("exit code %d, want %d, and %q in the last line of:\n%s", code, in.code, in.says, says)
			}
		})
	}
	n.Nodes[0].Start()
	n.Leader()
}

// makeNewer turns a data directory into one of a newer version.
func makeNewer(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "IDENTITY")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), `"format":1`, `"format":99`, 1)
	if changed == string(b) {
		t.Fatalf("no format in %q", b)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Too few file descriptors are refused at the start, not met later.
func TestFewDescriptors(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1})
	c.Nodes[0].Kill()
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -Sn 64 && ulimit -Hn 100 && exec "$@"`, "sh", filepath.Join(harness.Bin(), "kvorum-node")}, c.Nodes[0].Args()...)...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "open files") {
		t.Errorf("%v: %s", err, out)
	}
}
