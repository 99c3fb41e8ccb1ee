//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/libs/svc"
)

// How many members there are.
const (
	nodesCount   = 3
	fanoutsCount = 2
)

// Flags of every node: no compaction but that of the clients, which keep what
// the judgement needs; little log, so that a node that was away needs a
// snapshot; and an alarm for small disks.
var nodeFlags = []string{"--auto-compaction-retention", "0", "--log-retain-bytes", "1048576", "--min-free-bytes", "67108864"}

// restartAfter is when a member that ended by itself is started again, as a
// container engine or an init system would.
const restartAfter = time.Second

// cluster is the members and what breaks them.
type cluster struct {
	dir     string
	env     []string
	nodes   []*node
	fanouts []member
	net     *network // nil on the loopback interface
	stack   *stack   // nil but where the members are containers
	admin   *client.Client
	fail    func(format string, args ...any)
	say     func(format string, args ...any)

	dead atomic.Bool // the run has failed

	mu      sync.Mutex
	excused map[string]int // members that may end by themselves now
	exits   []string       // what did
	digests []check.Digest // of this phase, as nodes told them
}

// node is a storage node.
type node struct {
	member
	power sync.Mutex // taken while it has none
	host  *host
	disk  disk
	url   string // of its client bus
}

// dataDir is where the node keeps its data.
func (n *node) dataDir() string { return filepath.Join(n.disk.dir(), "data") }

// layout is the addresses of the members.
type layout struct{ peers, routes, clients []string }

// newCluster makes the members in a folder, without starting them.
func newCluster(dir, bin string, nw *network, newDisk func(dir string) (disk, error), env ...string) (*cluster, error) {
	c := &cluster{dir: dir, env: env, net: nw, excused: map[string]int{}}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-the-torture-alone"), 0o600); err != nil {
		return nil, err
	}
	at, hosts, err := c.addresses()
	if err != nil {
		return nil, err
	}
	var peers []string
	for i, address := range at.peers {
		peers = append(peers, fmt.Sprintf("node-%d=%s", i+1, address))
	}
	for i := range nodesCount {
		name := fmt.Sprintf("node-%d", i+1)
		n := &node{host: hosts[i], url: "nats://" + at.clients[i]}
		if n.disk, err = newDisk(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		others := append(append([]string{}, at.routes[:i]...), at.routes[i+1:]...)
		n.member = c.process(name, filepath.Join(bin, "kvorum-node"), hosts[i], append([]string{
			"--name", name, "--peers", strings.Join(peers, ","), "--peer-listen", at.peers[i],
			"--route-listen", at.routes[i], "--routes", strings.Join(others, ","), "--listen", at.clients[i],
			"--data-dir", n.dataDir(), "--secret-file", secret,
		}, nodeFlags...))
		c.nodes = append(c.nodes, n)
	}
	for i := range fanoutsCount {
		name, h := fmt.Sprintf("watch-%d", i+1), hosts[nodesCount+i]
		args := []string{"--name", name, "--routes", strings.Join(at.routes, ","), "--secret-file", secret}
		if h != nil {
			args = append(args, "--route-listen", net.JoinHostPort(h.address, routePort))
		}
		c.fanouts = append(c.fanouts, c.process(name, filepath.Join(bin, "kvorum-watch"), h, args))
	}
	return c, nil
}

// addresses gives every member a host of its own, or ports of the loopback
// interface.
func (c *cluster) addresses() (at layout, hosts []*host, err error) {
	hosts = make([]*host, nodesCount+fanoutsCount)
	if c.net == nil {
		for range nodesCount {
			for _, list := range []*[]string{&at.peers, &at.routes, &at.clients} {
				l, err := svc.ListenFree()
				if err != nil {
					return at, nil, err
				}
				defer l.Close()
				*list = append(*list, l.Addr().String())
			}
		}
		return at, hosts, nil
	}
	for i := range hosts {
		name := fmt.Sprintf("node-%d", i+1)
		if i >= nodesCount {
			name = fmt.Sprintf("watch-%d", i+1-nodesCount)
		}
		if hosts[i], err = c.net.add(name); err != nil {
			return at, nil, err
		}
		if i < nodesCount {
			at.peers = append(at.peers, net.JoinHostPort(hosts[i].address, peerPort))
			at.routes = append(at.routes, net.JoinHostPort(hosts[i].address, routePort))
			at.clients = append(at.clients, net.JoinHostPort(hosts[i].address, clientPort))
		}
	}
	return at, hosts, nil
}

func (c *cluster) process(name, path string, h *host, args []string) *process {
	start := (*exec.Cmd).Start
	if h != nil {
		start = func(cmd *exec.Cmd) error { return c.net.inside(h, cmd.Start) }
	}
	return &process{name: name, path: path, args: args, env: c.env, log: filepath.Join(c.dir, name+".log"), start: start, ended: c.ended}
}

// members are all processes.
func (c *cluster) members() []member {
	var all []member
	for _, n := range c.nodes {
		all = append(all, n.member)
	}
	return append(all, c.fanouts...)
}

// start starts all members and connects the torture's own client.
func (c *cluster) start(ctx context.Context) error {
	for _, p := range c.members() {
		if err := p.Start(); err != nil {
			return err
		}
	}
	var err error
	if c.admin, err = client.Connect(ctx, c.urls(), client.Timeout(5*time.Second)); err != nil {
		return err
	}
	return c.healthy(ctx)
}

// urls is all nodes' client buses.
func (c *cluster) urls() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	return strings.Join(urls, ",")
}

// excuse lets a node end by itself until the returned function is called: its
// disk is being broken.
func (c *cluster) excuse(m member) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excused[m.Name()]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.excused[m.Name()]--
	}
}

// ended takes note of a member that ended by itself, and starts it again. Only
// one whose disk was broken may.
func (c *cluster) ended(p *process, how string) {
	c.mu.Lock()
	excused := c.excused[p.name] > 0
	c.exits = append(c.exits, fmt.Sprintf("%s (%s): %s", p.name, how, tail(p)))
	c.mu.Unlock()
	if !excused {
		c.fail("%s ended by itself (%s): %s", p.name, how, tail(p))
		return
	}
	c.say("  %s ended (%s): %.200s", p.name, how, tail(p))
	time.AfterFunc(restartAfter, func() {
		p.mu.Lock()
		wanted := p.wanted
		p.mu.Unlock()
		if wanted {
			if err := p.Start(); err != nil {
				c.fail("%v", err)
			}
		}
	})
}

// alive is false once the run has failed: nobody need wait for anything then.
func (c *cluster) alive() bool { return !c.dead.Load() }

// close kills all members and takes their disks away.
func (c *cluster) close() {
	for _, n := range c.nodes {
		n.disk.release()
	}
	for _, p := range c.members() {
		p.Kill()
	}
	if c.admin != nil {
		c.admin.Close()
	}
	for _, n := range c.nodes {
		n.disk.close()
	}
	if c.stack != nil {
		keep := ""
		if !c.alive() {
			keep = c.dir
		}
		if err := c.stack.close(keep); err != nil {
			c.say("the stack is not gone: %v", err)
		}
	}
}
