package dev

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		args, want string
		code       int
	}{
		{"--help", "usage: kvorum dev", 0},
		{"--nodes 2", "1, 3, 5 or 7", 2},
		{"--nodes 0", "1, 3, 5 or 7", 2},
		{"--fanouts 4", "0 to 3", 2},
		{"--client-port 65530", "no port", 2},
		{"--log-level loud", "loud", 2},
		{"--nodse 3", "unknown flag", 2},
		{"here", "unexpected argument", 2},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if code := Main(context.Background(), strings.Fields(tt.args), &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: code %d, %q; want %d, %q", tt.args, code, &out, tt.code, tt.want)
		}
	}
}

func TestMissingProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stderr bytes.Buffer
	code := Main(context.Background(), []string{"--data-dir", t.TempDir()}, &stderr, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "make build") {
		t.Errorf("code %d, %q", code, &stderr)
	}
}

func TestLayoutIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	first := open(t, options{dataDir: dir, nodes: 3})
	secret, err := os.ReadFile(first.secret())
	if err != nil || len(secret) < 64 {
		t.Fatalf("secret %q, %v", secret, err)
	}
	if info, _ := os.Stat(first.secret()); info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's mode is %v", info.Mode())
	}
	// A route port that somebody else has by now is replaced, the rest stays.
	taken, err := net.Listen("tcp", address(first.ports[1].Route))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	again := open(t, options{dataDir: dir})
	for i := range first.ports {
		a, b := first.ports[i], again.ports[i]
		if a.Peer != b.Peer || (a.Route != b.Route) != (i == 1) {
			t.Errorf("%s: ports %+v became %+v", name(i), a, b)
		}
	}
	if now, _ := os.ReadFile(again.secret()); !bytes.Equal(now, secret) {
		t.Error("the secret changed")
	}
	if _, _, err := openLayout(options{dataDir: dir, nodes: 5}); err == nil || !strings.Contains(err.Error(), "--nodes 3") {
		t.Errorf("another number of nodes: %v", err)
	}
	os.WriteFile(filepath.Join(dir, savedFile), []byte("{"), 0o600)
	if _, _, err := openLayout(options{dataDir: dir}); err == nil {
		t.Error("a broken dev.json was taken for none")
	}
}

func TestLayoutConflicts(t *testing.T) {
	dir := t.TempDir()
	_, unlock, err := openLayout(options{dataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openLayout(options{dataDir: dir}); err == nil || !strings.Contains(err.Error(), "another kvorum dev") {
		t.Errorf("a folder in use: %v", err)
	}
	unlock()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	_, _, err = openLayout(options{dataDir: dir, clientPort: port})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--client-port") || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("a taken port: %v", err)
	}
}

func TestCommands(t *testing.T) {
	l := &layout{dir: "/d", ports: []nodePorts{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}}
	node := l.nodeChildren("/b/kvorum-node", "info")[1].command()
	want := "/b/kvorum-node --name node-2 --peers node-1=127.0.0.1:1,node-2=127.0.0.1:4,node-3=127.0.0.1:7 --data-dir /d/node-2" +
		" --listen 127.0.0.1:6 --peer-listen 127.0.0.1:4 --route-listen 127.0.0.1:5 --routes 127.0.0.1:2,127.0.0.1:8 --secret-file /d/secret --log-level info"
	if node != want {
		t.Errorf("got  %s\nwant %s", node, want)
	}
	l.dir = "/it's here"
	watch := l.fanoutChildren("/b/kvorum-watch", options{fanouts: 1, logLevel: "warn"})[0].command()
	want = `/b/kvorum-watch --name watch-1 --routes 127.0.0.1:2,127.0.0.1:5,127.0.0.1:8 --route-listen 127.0.0.1:0 --secret-file '/it'\''s here/secret' --log-level warn`
	if watch != want {
		t.Errorf("got  %s\nwant %s", watch, want)
	}
}

// polite stops on SIGTERM, stubborn does not, failing never starts.
const (
	polite   = `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done`
	stubborn = `trap '' TERM; echo up; while :; do sleep 0.05; done`
	failing  = `echo no disk >&2; exit 3`
)

func TestClusterStops(t *testing.T) {
	tests := []struct {
		script      string
		grace       time.Duration
		log, stderr string
	}{
		{polite, time.Hour, "up\nbye", ""},
		{stubborn, time.Millisecond, "up", "kvorum dev: node-1 has not stopped within 1ms and is killed\n"},
	}
	for _, tt := range tests {
		c, _, stderr := fake(t, tt.script)
		c.grace = tt.grace
		ctx, cancel := context.WithCancel(context.Background())
		err := c.run(ctx, "", func(context.Context) error {
			waitLog(t, c.children...)
			cancel()
			return nil
		})
		node := c.children[0]
		if err != nil || stderr.String() != tt.stderr || node.lastWords() != tt.log {
			t.Errorf("%v, stderr %q, log %q; want %q, %q", err, stderr, node.lastWords(), tt.stderr, tt.log)
		}
		if _, err := os.Stat(node.pidFile()); err == nil {
			t.Errorf("%s is left over", node.pidFile())
		}
	}
}

func TestClusterLosesNodes(t *testing.T) {
	c, stdout, stderr := fake(t, polite, polite)
	c.add(&child{name: "watch-1", dir: c.children[0].dir, argv: []string{"sh", "-c", polite}})
	stdout.onWrite = func(text string) {
		if text != "ready\n" {
			return
		}
		for _, ch := range c.children[:2] {
			pid, err := os.ReadFile(ch.pidFile())
			if err != nil {
				t.Error(err)
			}
			n, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
			syscall.Kill(n, syscall.SIGKILL)
		}
	}
	err := c.run(context.Background(), "hello\n", func(context.Context) error { waitLog(t, c.children...); return nil })
	if err == nil || !strings.Contains(err.Error(), "no node is left") {
		t.Errorf("err = %v", err)
	}
	if got := stdout.String(); got != "hello\nready\n" {
		t.Errorf("stdout %q", got)
	}
	for _, want := range []string{"node-1 ended (signal: killed)", "node-2 ended", "  " + c.children[1].command()} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q: %s", want, stderr)
		}
	}
	if !c.children[2].ended {
		t.Error("the fan-out was left running")
	}
}

func TestClusterNeverReady(t *testing.T) {
	c, stdout, _ := fake(t, polite, failing)
	err := c.run(context.Background(), "hello\n", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if err == nil || !strings.Contains(err.Error(), "node-2 ended") || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("err = %v", err)
	}
	if stdout.String() != "" {
		t.Errorf("stdout %q", stdout)
	}
}

func open(t *testing.T, opts options) *layout {
	t.Helper()
	l, unlock, err := openLayout(opts)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	return l
}

// fake is a cluster of shell scripts.
func fake(t *testing.T, scripts ...string) (c *cluster, stdout, stderr *writer) {
	stdout, stderr = new(writer), new(writer)
	c = newCluster(stdout, stderr)
	dir := t.TempDir()
	for i, script := range scripts {
		c.add(&child{name: name(i), node: true, dir: dir, argv: []string{"sh", "-c", script}})
	}
	return c, stdout, stderr
}

// waitLog waits until every child has logged that its trap is set.
func waitLog(t *testing.T, children ...*child) {
	deadline := time.Now().Add(20 * time.Second)
	for slices.ContainsFunc(children, func(ch *child) bool { return ch.lastWords() != "up" }) {
		if time.Now().After(deadline) {
			t.Error("the scripts do not start")
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// writer is a buffer for several goroutines.
type writer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	onWrite func(text string)
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.onWrite != nil {
		w.onWrite(string(p))
	}
	return w.buf.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
