package cclient

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const want = `put and get
typed errors
transaction
delete
event put hello
event put moved
event delete 
`

func TestClientInC(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	dir := t.TempDir()
	client := compile(t, dir)
	output(t, "go", "build", "-o", dir+string(filepath.Separator), "../../tools/kvorum",
		"../../services/node/cmd/kvorum-node", "../../services/watch/cmd/kvorum-watch")
	got := output(t, client, startCluster(t, dir))
	if got != want {
		t.Errorf("the client prints\n%s\nwant\n%s", got, want)
	}
}

// compile builds client.c, or skips the test where that is impossible here.
func compile(t *testing.T, dir string) string {
	t.Helper()
	probe := exec.Command("gcc", "-x", "c", "-o", filepath.Join(dir, "probe"), "-", "-lnats")
	probe.Stdin = strings.NewReader("#include <nats/nats.h>\nint main(void) { nats_Close(); return 0; }\n")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no C client test without gcc and libnats-dev: %v\n%s", err, out)
	}
	client := filepath.Join(dir, "client")
	output(t, "gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", client, filepath.Join("testdata", "client.c"), "-lnats")
	return client
}

var nodeURL = regexp.MustCompile(`^node-1\s+(nats://\S+)`)

// startCluster runs "kvorum dev" until the test ends and returns the URL of its
// first node once it is ready.
func startCluster(t *testing.T, dir string) (url string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "kvorum"), "dev", "--nodes", "3", "--client-port", "0", "--data-dir", filepath.Join(dir, "data"))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("kvorum dev: %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := nodeURL.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
		if lines.Text() == "ready" {
			go io.Copy(io.Discard, stdout)
			return url
		}
	}
	t.Fatal("kvorum dev ended before it was ready")
	return ""
}

// output runs a command and returns its standard output; a failure of the
// command fails the test.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, &stdout, &stderr)
	}
	return stdout.String()
}
