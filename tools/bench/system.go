package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/svc"
)

// system is one of the compared stores: three servers on this machine.
type system interface {
	name() string
	// start starts the servers with their data below dir and waits until all of
	// the system serves.
	start(ctx context.Context, dir string) error
	// ready waits until each of the three answers a linearizable read.
	ready(ctx context.Context) error
	// stop kills the servers.
	stop()
	servers() *group
	// leader is the place among the servers of the one that leads.
	leader(ctx context.Context) (int, error)
	// open gives a session with so many connections.
	open(ctx context.Context, connections int, to place) (session, error)
	// has tells which kinds of work it can do.
	has(kind) bool
}

// place is where connections go.
type place int

const (
	everywhere place = iota // all servers in turn
	atLeader
	atFollower
	// movable is everywhere, for clients that are to live through a server's end.
	movable
)

// of chooses among the addresses of a system's servers.
func (p place) of(ctx context.Context, s system, urls []string) ([]string, error) {
	if p == everywhere || p == movable {
		return urls, nil
	}
	i, err := s.leader(ctx)
	if err != nil {
		return nil, err
	}
	if p == atFollower {
		i = (i + 1) % len(urls)
	}
	return urls[i : i+1], nil
}

// kind names a piece of work.
type kind int

const (
	put kind = iota
	get
	getSerializable
	compareAndPut
	rangeOf100
	txnOf4
	leaseGrant
	watching
	leasing
	fanOut // has processes besides the nodes
)

// session is a set of connections. A client uses the connection that its number
// says.
type session interface {
	// do does one operation and fails if the answer is not what it must be.
	do(ctx context.Context, k kind, client int, key string, value []byte) error
	// putAll writes up to 100 keys, in one transaction where there is such.
	putAll(ctx context.Context, client int, keys []string, value []byte) error
	// watch has a watch of one key on the connection of a client, and returns
	// when it is in place. Each event is given on a goroutine of the watch.
	watch(ctx context.Context, client int, key string, event func(revision int64, value []byte)) error
	// leases grants leasesPerClient to each of so many clients; keep renews all
	// of a client's.
	leases(ctx context.Context, clients int) error
	keep(ctx context.Context, client int) error
	close()
}

const (
	// prefix begins the keys that the load uses; prefixEnd is behind them.
	prefix    = "/bench/"
	prefixEnd = "/bench0"
	// clientsMax bounds the clients of one loop.
	clientsMax      = 20_000
	leasesPerClient = 100
	leaseTTLSeconds = 3600
)

var errUnsupported = errors.New("this system has no such operation")

// systemNames are all systems, in the order of the tables.
var systemNames = []string{"kvorum", "etcd", "js-always", "js-default"}

func systemOf(name, bin string) (system, error) {
	switch name {
	case "kvorum":
		return &kvorum{bin: bin}, nil
	case "etcd":
		return &etcd{bin: bin}, nil
	case "js-always", "js-default":
		return &jetstream{bin: bin, synced: name == "js-always"}, nil
	}
	return nil, fmt.Errorf("unknown system %q: there are %s", name, strings.Join(systemNames, ", "))
}

// dontRandomize has a NATS connection begin with the first server.
var dontRandomize = nats.DontRandomize()

// from is the list beginning at place i, wrapped around.
func from(list []string, i int) []string {
	i %= len(list)
	return slices.Concat(list[i:], list[:i])
}

// without is the list without one place, separated by commas.
func without(list []string, i int) string {
	return strings.Join(slices.Concat(list[:i], list[i+1:]), ",")
}

// freePorts finds free addresses on the loopback interface.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := svc.ListenFree()
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
