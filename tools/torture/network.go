//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Ports of every member that has an address of its own.
const (
	peerPort   = "7000"
	routePort  = "6222"
	clientPort = "4222"
)

// clientsAddress is where the clients are.
const clientsAddress = "10.99.0.254"

// network connects network namespaces with a bridge, all inside the torture's
// own. Nobody outside sees it, and it is gone when the torture is.
type network struct {
	home  *os.File // the torture's own namespace
	hosts []*host
}

// host is a network namespace with one interface.
type host struct {
	name, address string
	ns            *os.File
}

func newNetwork() (*network, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	n := &network{home: home}
	for _, args := range []string{
		"link add torture type bridge",
		"link set torture up",
		"addr add " + clientsAddress + "/24 dev torture",
	} {
		if err := command("ip", strings.Fields(args)...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// add makes a host.
func (n *network) add(name string) (*host, error) {
	h := &host{name: name, address: fmt.Sprintf("10.99.0.%d", len(n.hosts)+1)}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		if h.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return command("ip", "link", "set", "lo", "up")
	}, n.home)
	if err != nil {
		return nil, fmt.Errorf("a network namespace for %s: %w", name, err)
	}
	n.hosts = append(n.hosts, h)
	// The other end of the wire is handed over by a file that the command
	// inherits.
	cmd := exec.Command("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{h.ns}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	if err := command("ip", "link", "set", name, "master", "torture", "up"); err != nil {
		return nil, err
	}
	if err := n.inside(h, func() error { return command("ip", "addr", "add", h.address+"/24", "dev", "eth0") }); err != nil {
		return nil, err
	}
	return h, n.inside(h, func() error { return command("ip", "link", "set", "eth0", "up") })
}

// inside runs f, and what it starts, in a host's namespace.
func (n *network) inside(h *host, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network of %s: %w", h.name, err)
		}
		return f()
	}, n.home)
}

// onThread runs f on a thread of its own, which goes home afterwards; one that
// cannot is not used again.
func onThread(f func() error, home *os.File) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			panic("the thread cannot return to its network: " + back.Error())
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// drop makes a host lose all packets that come from an address, or only those of
// one port on either side. The other direction stays as it is.
func (n *network) drop(at *host, from, port string) error {
	args := []string{"-w", "-A", "INPUT", "-s", from}
	if port != "" {
		args = append(args, "-p", "tcp", "-m", "multiport", "--ports", port)
	}
	return n.inside(at, func() error { return command("iptables", append(args, "-j", "DROP")...) })
}

// heal ends all losses.
func (n *network) heal() error {
	for _, h := range n.hosts {
		if err := n.inside(h, func() error { return command("iptables", "-w", "-F", "INPUT") }); err != nil {
			return err
		}
	}
	return nil
}
