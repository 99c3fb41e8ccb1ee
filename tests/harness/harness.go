// Package harness starts whole clusters of real processes for tests: storage
// nodes and watch fan-outs, as users run them, on free ports of the loopback
// interface, and breaks them on request. Everything ends with the test.
package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/libs/svc"
)

// Options of a cluster; the zero value gives three nodes and one fan-out.
type Options struct {
	Nodes, Fanouts int
	NodeFlags      []string // added to every node's command line
}

// Cluster is a running cluster.
type Cluster struct {
	Nodes   []*Process // node-1, node-2, ...
	Fanouts []*Process
	URLs    []string // of the nodes' client buses, in their order
	t       testing.TB
}

// Process is a member of a cluster, which may be down.
type Process struct {
	Name string
	t    testing.TB
	path string
	args []string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a cluster and waits until a quorum serves and, where there is a
// fan-out, until it publishes.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-this-test-alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3*o.Nodes)
	var peers, routes []string
	for i := range o.Nodes {
		peers = append(peers, fmt.Sprintf("node-%d=%s", i+1, ports[3*i]))
		routes = append(routes, ports[3*i+1])
	}
	c := &Cluster{t: t}
	for i := range o.Nodes {
		name := fmt.Sprintf("node-%d", i+1)
		others := append(append([]string{}, routes[:i]...), routes[i+1:]...)
		args := []string{
			"--name", name, "--peers", strings.Join(peers, ","), "--peer-listen", ports[3*i],
			"--route-listen", routes[i], "--routes", strings.Join(others, ","), "--listen", ports[3*i+2],
			"--data-dir", filepath.Join(dir, name), "--secret-file", secret,
		}
		c.URLs = append(c.URLs, "nats://"+ports[3*i+2])
		c.Nodes = append(c.Nodes, newProcess(t, name, filepath.Join(bin, "kvorum-node"), append(args, o.NodeFlags...), dir))
	}
	for i := range o.Fanouts {
		name := fmt.Sprintf("watch-%d", i+1)
		args := []string{"--name", name, "--routes", strings.Join(routes, ","), "--secret-file", secret}
		c.Fanouts = append(c.Fanouts, newProcess(t, name, filepath.Join(bin, "kvorum-watch"), args, dir))
	}
	for _, p := range append(append([]*Process{}, c.Nodes...), c.Fanouts...) {
		p.Start()
	}
	c.awaitReady(o.Fanouts > 0)
	return c
}

func newProcess(t testing.TB, name, path string, args []string, dir string) *Process {
	p := &Process{Name: name, t: t, path: path, args: args, log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			p.printLog()
		}
	})
	return p
}

// awaitReady waits for a write to pass and for the fan-out to answer, through
// every node: one may have no route to the others yet.
func (c *Cluster) awaitReady(fanout bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := range c.Nodes {
		cl := c.ClientOf(i)
		if _, err := cl.Put(ctx, "/ready", nil); err != nil {
			c.t.Fatalf("the cluster takes no writes: %v", err)
		}
		if !fanout {
			continue
		}
		if _, err := cl.Sync(ctx, client.All()); err != nil {
			c.t.Fatalf("the fan-out does not answer: %v", err)
		}
	}
}

// Client connects to all nodes.
func (c *Cluster) Client() *client.Client { return c.connect(strings.Join(c.URLs, ",")) }

// ClientOf connects to one node only.
func (c *Cluster) ClientOf(i int) *client.Client { return c.connect(c.URLs[i]) }

func (c *Cluster) connect(urls string) *client.Client {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cl, err := client.Connect(ctx, urls)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// Status asks a node for its status; nil where it does not answer.
func (c *Cluster) Status(ctx context.Context, cl *client.Client, i int) *kvpb.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := cl.StatusOf(ctx, c.Nodes[i].Name)
	if err != nil {
		return nil
	}
	return s
}

// Leader is the place of the leader in Nodes, waiting for there to be one.
func (c *Cluster) Leader() int {
	c.t.Helper()
	cl := c.Client()
	var leader int
	c.Until("a leader", func(ctx context.Context) bool {
		for i, p := range c.Nodes {
			if p.Running() {
				if s := c.Status(ctx, cl, i); s != nil && s.Ready && s.Leader == p.Name {
					leader = i
					return true
				}
			}
		}
		return false
	})
	return leader
}

// Until waits for ok, for a minute at most.
func (c *Cluster) Until(what string, ok func(context.Context) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("waited a minute for %s", what)
		}
	}
}

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Start starts the process, again if it was ended before.
func (p *Process) Start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait() // how it ended is the test's to judge
		log.Close()
		close(done)
	}()
}

// Kill ends the process as kill -9 does, and waits for that.
func (p *Process) Kill() {
	if p.Running() {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		<-p.done
	}
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.Name, err)
	}
}

// Wait waits for the process to end and returns its exit code.
func (p *Process) Wait() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Log is what the process has printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *Process) printLog() {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	p.t.Logf("%s, last lines of its log:\n%s", p.Name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
}

// bin is where Main has put the services.
var bin string

// Main builds the services for all tests of a package and runs them; a package
// that starts clusters calls it from TestMain. With KVORUM_BIN set it takes
// them from there.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if bin = os.Getenv("KVORUM_BIN"); bin != "" {
		return m.Run(), nil
	}
	if bin, err = os.MkdirTemp("", "kvorum-bin"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	out, err := exec.Command("go", "build", "-o", bin+"/",
		"github.com/kvorum/kvorum/services/node/cmd/kvorum-node",
		"github.com/kvorum/kvorum/services/watch/cmd/kvorum-watch",
		"github.com/kvorum/kvorum/tools/kvorum").CombinedOutput()
	if err != nil {
		return 1, fmt.Errorf("building the services: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// Bin is the folder with the binaries.
func Bin() string { return bin }

func freePorts(t testing.TB, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := svc.ListenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// Args is the process's command line without the program.
func (p *Process) Args() []string { return append([]string{}, p.args...) }

// ResidentBytes is the memory that the running process occupies.
func (p *Process) ResidentBytes() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		p.t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// Flag is the value of a flag on the process's command line, "" without it.
func (p *Process) Flag(name string) string {
	for i, a := range p.args[:len(p.args)-1] {
		if a == name {
			return p.args[i+1]
		}
	}
	return ""
}

// LoseDisk removes the data directory of a node that is down.
func (p *Process) LoseDisk() {
	p.t.Helper()
	if p.Running() {
		p.t.Fatalf("%s runs", p.Name)
	}
	if err := os.RemoveAll(p.Flag("--data-dir")); err != nil {
		p.t.Fatal(err)
	}
}
