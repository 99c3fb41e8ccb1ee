package dev

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kvorum/kvorum/libs/svc"
)

// layout is a cluster's place on this machine: the data folder and all ports.
type layout struct {
	dir   string // absolute
	ports []nodePorts
}

// nodePorts are a node's ports on 127.0.0.1. What is kept in dev.json is kept
// so that a node can be started again by hand; identity is in the names alone,
// so a port that was taken meanwhile is replaced at the next start.
type nodePorts struct {
	Peer   int `json:"peer"`
	Route  int `json:"route"`
	client int
}

// saved is dev.json.
type saved struct {
	Nodes []nodePorts `json:"nodes"`
}

const (
	savedFile  = "dev.json"
	lockFile   = "dev.lock"
	secretFile = "secret"
)

// openLayout makes or reuses the data folder and locks it until unlock.
func openLayout(opts options) (l *layout, unlock func(), err error) {
	dir, err := filepath.Abs(opts.dataDir)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("data folder: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, nil, fmt.Errorf("another kvorum dev uses %s: stop it or choose another --data-dir", dir)
	}
	l = &layout{dir: dir}
	if err := l.load(opts.nodes); err != nil {
		return nil, nil, err
	}
	if err := l.choosePorts(opts.clientPort); err != nil {
		return nil, nil, err
	}
	if err := l.save(); err != nil {
		return nil, nil, err
	}
	return l, func() { lock.Close() }, nil
}

// load reads dev.json, or begins a new cluster where there is none.
func (l *layout) load(nodes int) error {
	path := filepath.Join(l.dir, savedFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if nodes == 0 {
			nodes = defaultNodes
		}
		l.ports = make([]nodePorts, nodes)
		return nil
	}
	if err != nil {
		return err
	}
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil || len(s.Nodes) == 0 {
		return fmt.Errorf("%s cannot be read (%v): restore it, or choose another --data-dir", path, err)
	}
	if nodes != 0 && nodes != len(s.Nodes) {
		return fmt.Errorf("%s holds a cluster of %d nodes: use --nodes %d or another --data-dir", l.dir, len(s.Nodes), len(s.Nodes))
	}
	l.ports = s.Nodes
	return nil
}

// choosePorts checks the client ports and replaces internal ports that are
// missing or taken.
func (l *layout) choosePorts(clientPort int) error {
	var open []net.Listener // kept until all are chosen, so that none is chosen twice
	defer func() {
		for _, o := range open {
			o.Close()
		}
	}()
	listen := func(port int) (int, error) {
		take := svc.ListenFree
		if port != 0 {
			take = func() (net.Listener, error) { return net.Listen("tcp", address(port)) }
		}
		o, err := take()
		if err != nil {
			return 0, err
		}
		open = append(open, o)
		return o.Addr().(*net.TCPAddr).Port, nil
	}
	for i := range l.ports {
		want := 0
		if clientPort != 0 {
			want = clientPort + i
		}
		got, err := listen(want)
		if err != nil {
			return fmt.Errorf("the client port of node-%d cannot be used: %w: stop what holds it, or choose other ports with --client-port", i+1, err)
		}
		l.ports[i].client = got
	}
	for i := range l.ports {
		for _, port := range []*int{&l.ports[i].Peer, &l.ports[i].Route} {
			got, err := listen(*port)
			if err != nil {
				got, err = listen(0)
			}
			if err != nil {
				return fmt.Errorf("no free port on 127.0.0.1: %w", err)
			}
			*port = got
		}
	}
	return nil
}

// save writes dev.json, and the secret where there is none.
func (l *layout) save() error {
	raw, err := json.MarshalIndent(saved{l.ports}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, savedFile)
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	random := make([]byte, 32)
	rand.Read(random)
	f, err := os.OpenFile(l.secret(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(random) + "\n")
	return errors.Join(err, f.Close())
}

func (l *layout) secret() string { return filepath.Join(l.dir, secretFile) }

// name is the name of node i, from 0.
func name(i int) string { return "node-" + strconv.Itoa(i+1) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// urls are the addresses for clients.
func (l *layout) urls() []string {
	var urls []string
	for _, p := range l.ports {
		urls = append(urls, "nats://"+address(p.client))
	}
	return urls
}

// announce is what is printed before "ready".
func (l *layout) announce() string {
	var b strings.Builder
	for i, url := range l.urls() {
		fmt.Fprintf(&b, "%s  %s  log %s\n", name(i), url, filepath.Join(l.dir, name(i)+".log"))
	}
	fmt.Fprintf(&b, "export NATS_URL=%s\n", strings.Join(l.urls(), ","))
	return b.String()
}

// nodeChildren are the storage nodes as processes.
func (l *layout) nodeChildren(program, logLevel string) []*child {
	var peers []string
	for i, p := range l.ports {
		peers = append(peers, name(i)+"="+address(p.Peer))
	}
	var children []*child
	for i, p := range l.ports {
		children = append(children, &child{
			name: name(i), node: true, dir: l.dir,
			argv: []string{
				program,
				"--name", name(i),
				"--peers", strings.Join(peers, ","),
				"--data-dir", filepath.Join(l.dir, name(i)),
				"--listen", address(p.client),
				"--peer-listen", address(p.Peer),
				"--route-listen", address(p.Route),
				"--routes", l.routes(i),
				"--secret-file", l.secret(),
				"--log-level", logLevel,
			},
		})
	}
	return children
}

// fanoutChildren are the fan-out replicas as processes.
func (l *layout) fanoutChildren(program string, opts options) []*child {
	var children []*child
	for i := range opts.fanouts {
		watch := "watch-" + strconv.Itoa(i+1)
		children = append(children, &child{
			name: watch, dir: l.dir,
			argv: []string{
				program,
				"--name", watch,
				"--routes", l.routes(-1),
				"--route-listen", address(0),
				"--secret-file", l.secret(),
				"--log-level", opts.logLevel,
			},
		})
	}
	return children
}

// routes are the client-bus route addresses of all nodes but one.
func (l *layout) routes(except int) string {
	var routes []string
	for i, p := range l.ports {
		if i != except {
			routes = append(routes, address(p.Route))
		}
	}
	return strings.Join(routes, ",")
}
