//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvorum/kvorum/libs/api/kvpb"
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
	nodes   []*node
	fanouts []*process
	net     *network // nil on the loopback interface
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
	process
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
func newCluster(dir, bin string, nw *network, newDisk func(dir string) (disk, error)) (*cluster, error) {
	c := &cluster{dir: dir, net: nw, excused: map[string]int{}}
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
		n.process = c.process(name, filepath.Join(bin, "kvorum-node"), hosts[i], append([]string{
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
		p := c.process(name, filepath.Join(bin, "kvorum-watch"), h, args)
		c.fanouts = append(c.fanouts, &p)
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

func (c *cluster) process(name, path string, h *host, args []string) process {
	start := (*exec.Cmd).Start
	if h != nil {
		start = func(cmd *exec.Cmd) error { return c.net.inside(h, cmd.Start) }
	}
	return process{name: name, path: path, args: args, log: filepath.Join(c.dir, name+".log"), start: start, ended: c.ended}
}

// members are all processes.
func (c *cluster) members() []*process {
	var all []*process
	for _, n := range c.nodes {
		all = append(all, &n.process)
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
func (c *cluster) excuse(p *process) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excused[p.name]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.excused[p.name]--
	}
}

// ended takes note of a member that ended by itself, and starts it again. Only
// one whose disk was broken may.
func (c *cluster) ended(p *process, how string) {
	c.mu.Lock()
	excused := c.excused[p.name] > 0
	c.exits = append(c.exits, fmt.Sprintf("%s (%s): %s", p.name, how, p.tail()))
	c.mu.Unlock()
	if !excused {
		c.fail("%s ended by itself (%s): %s", p.name, how, p.tail())
		return
	}
	c.say("  %s ended (%s): %.200s", p.name, how, p.tail())
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

// status is what a node says of itself; nil where it does not answer.
func (c *cluster) status(ctx context.Context, n *node) *kvpb.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.admin.StatusOf(ctx, n.name)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.digests = append(c.digests, check.Digest{Node: n.name, Index: s.AppliedIndex, Digest: s.Digest})
	return s
}

// sameDigests holds what nodes told since the last time against each other.
func (c *cluster) sameDigests() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.digests
	c.digests = nil
	return check.Digests(seen)
}

// leader is the node that leads, nil where none says so before ctx ends.
func (c *cluster) leader(ctx context.Context) (leader *node) {
	_ = c.until(ctx, "a leader", func() error { // nil tells it as well
		for _, n := range c.nodes {
			if s := c.status(ctx, n); s != nil && s.Ready && s.Leader == n.name {
				leader = n
				return nil
			}
		}
		return errors.New("none says that it leads")
	})
	return leader
}

// healthy waits until every node serves and both buses are whole: all nodes are
// reachable for each other, and a fan-out answers through each of them.
func (c *cluster) healthy(ctx context.Context) error {
	return c.until(ctx, "a healthy cluster", func() error {
		for _, n := range c.nodes {
			s := c.status(ctx, n)
			if s == nil {
				return fmt.Errorf("%s does not answer", n.name)
			}
			if !s.Ready {
				return fmt.Errorf("%s is not ready: %v", n.name, s.Alarms)
			}
			for _, m := range s.Members {
				if !m.Reachable {
					return fmt.Errorf("%s does not reach %s", n.name, m.Name)
				}
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.admin.Sync(ctx, client.All())
		return err
	})
}

// healPatience is how long the cluster may take to be well again after
// everything was healed: an election, a snapshot, a fan-out's next try.
const healPatience = 90 * time.Second

// until polls a condition until it holds.
func (c *cluster) until(ctx context.Context, what string, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s until %w: %w", what, ctx.Err(), err)
		}
	}
}

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
}
