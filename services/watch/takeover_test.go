package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/svc"
	"github.com/kvorum/kvorum/services/watch"
)

// childArgs makes this test binary run as kvorum-watch.
const childArgs = "KVORUM_WATCH_TEST_ARGS"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(childArgs); ok {
		svc.Main("kvorum-watch", func(ctx context.Context, _ []string) error { return watch.Main(ctx, strings.Fields(args)) })
	}
	os.Exit(m.Run())
}

// child starts kvorum-watch as a process of its own.
func child(t *testing.T, args string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childArgs+"="+args)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", args, out.String())
		}
	})
	return cmd, &out
}

// replicas starts processes that are ready: the first publishes, the others
// stand by.
func replicas(t *testing.T, n *node, names ...string) map[string]*exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	procs := make(map[string]*exec.Cmd)
	for i, name := range names {
		procs[name], _ = child(t, fmt.Sprintf("--name %s --routes %s --secret-file %s", name, n.bus.RouteAddress(), file))
		n.followed(i + 1)
	}
	eventually(t, "one of them publishes", func() bool { return n.holds() != "" })
	return procs
}

// publisher is the process that has the grant.
func publisher(n *node) string {
	name, _, _ := strings.Cut(n.holds(), ".")
	return name
}

func TestTakeover(t *testing.T) {
	for name, end := range map[string]func(*exec.Cmd) error{
		"killed":  func(c *exec.Cmd) error { return c.Process.Kill() },
		"stopped": func(c *exec.Cmd) error { return c.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			procs := replicas(t, n, "watch-1", "watch-2")
			w := follow(t, n)
			ctx, cancel := context.WithCancel(t.Context())
			written := make(chan int64)
			go func() { // writers go on all the time
				for r := int64(0); ; r++ {
					if ctx.Err() != nil {
						written <- r
						return
					}
					n.commit(fmt.Sprintf("/a/%d", r%7), "/b")
					time.Sleep(100 * time.Microsecond)
				}
			}()
			w.until(100)
			first := publisher(n)
			if err := end(procs[first]); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the other publishes", func() bool { p := publisher(n); return p != "" && p != first })
			before := w.epoch
			for w.epoch == before {
				w.next()
			}
			w.until(w.at.Revision + 100)
			cancel()
			w.until(<-written)
			w.complete(n)
			if w.back {
				t.Error("an event of the old epoch came after one of the new")
			}
		})
	}
}

// A holder that was stopped for longer than its grant publishes nothing when it
// goes on, although its requests for the grant and events of the feed wait for
// it.
func TestPausedHolder(t *testing.T) {
	n := startNode(t)
	procs := replicas(t, n, "watch-1", "watch-2")
	w := follow(t, n)
	n.commit("/a")
	w.until(1)
	first := publisher(n)
	if err := procs[first].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.commit("/b") // the stopped one gets it too
	eventually(t, "the other publishes", func() bool { p := publisher(n); return p != "" && p != first })
	n.commit("/c")
	w.until(3)
	if err := procs[first].Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.followed(2)
	for i := range 50 {
		n.commit(fmt.Sprintf("/d/%d", i))
	}
	w.until(53)
	w.complete(n)
	if w.back {
		t.Error("the stopped holder published under its old grant")
	}
}

// While one publishes, the others ask for nothing, and one that gives up says so.
func TestStandbyIsQuiet(t *testing.T) {
	n := startNode(t)
	procs := replicas(t, n, "watch-1", "watch-2")
	first := publisher(n)
	other := map[string]string{"watch-1": "watch-2", "watch-2": "watch-1"}[first]
	w := follow(t, n)
	n.commit("/a")
	w.until(1)
	asked, held := n.asks(other), n.asks(first)
	eventually(t, "the holder asks for its grant", func() bool { return n.asks(first) > held+10 })
	if more := n.asks(other) - asked; more > 1 {
		t.Errorf("a standby asked %d times for the grant", more)
	}
	if err := procs[first].Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other publishes", func() bool { return publisher(n) == other })
	n.commit("/b")
	w.until(2)
	w.complete(n)
}

func TestUsage(t *testing.T) {
	for args, says := range map[string]string{
		"--frobnicate":               "unknown flag",
		"--routes a:1":               "--name is missing",
		"--name w":                   "--routes is missing",
		"--name w --routes a:1 more": "unexpected argument",
		"--name w --routes a:1 --secret-file x --window-bytes 5": "--window-bytes",
	} {
		cmd, out := child(t, args)
		_ = cmd.Wait() // the code tells
		if cmd.ProcessState.ExitCode() != svc.ExitUsage || !strings.Contains(out.String(), says) {
			t.Errorf("%s: exit code %d, %s", args, cmd.ProcessState.ExitCode(), out)
		}
	}
}
