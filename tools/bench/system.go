package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/svc"
)

// system is one of the compared stores: three servers on this machine.
type system interface {
	name() string
	// start starts the servers with their data below dir, waits until they
	// serve, and connects.
	start(ctx context.Context, dir string) error
	// stop kills the servers and forgets the connections.
	stop()
	servers() *group
	// leader is the server that leads now.
	leader(ctx context.Context) (*proc, error)
	// open gives a session: as many connections to all servers in turn as asked
	// for. near is true for connections to the leader only.
	open(ctx context.Context, connections int, near bool) (session, error)
	// kinds are the operations that it has.
	has(kind) bool
}

// kind names an operation.
type kind int

const (
	put kind = iota
	get
	getSerializable
	compareAndPut
	rangeOf100
	txnOf4
	watching
	leasing
)

// session is a set of connections. Keys are /bench/ and a number; a client uses
// the connection that its number says.
type session interface {
	do(ctx context.Context, k kind, client int, key string, value []byte) error
	// watch has a watch of one key, or of all of /bench/ where key is "", on the
	// connection of a client. Each event is given by its value, on a goroutine
	// of the client's library.
	watch(ctx context.Context, client int, key string, event func(value []byte)) error
	// leases grants some leases; keep renews one of them, or as many as the
	// system's protocol takes in one request, and returns how many.
	leases(ctx context.Context, n int) error
	keep(ctx context.Context, client, i int) (renewed int, err error)
	close()
}

// startTimeout bounds a cluster's start.
const startTimeout = 60 * time.Second

// Keys that the load uses, as a range.
const (
	prefix    = "/bench/"
	prefixEnd = "/bench0"
	// clientsMax bounds the clients of one loop.
	clientsMax = 20_000
)

var errUnsupported = errors.New("this system has no such operation")

// dontRandomize has a NATS connection begin with the first server.
var dontRandomize = nats.DontRandomize()

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

// without is the list without one place, separated by commas.
func without(list []string, i int) string {
	return strings.Join(slices.Concat(list[:i], list[i+1:]), ",")
}
