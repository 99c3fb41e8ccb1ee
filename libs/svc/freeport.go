package svc

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that ListenFree chooses from: below those that the kernel gives to
// outgoing connections, so that a port is still free when it is listened on
// again a moment later.
const (
	firstFreePort = 20_000
	lastFreePort  = 32_000
)

// ListenFree listens on a port of 127.0.0.1 that nobody used. Whoever wants the
// number for another process keeps the listener until it has all it needs.
func ListenFree() (net.Listener, error) {
	var last error
	for range 100 {
		port := firstFreePort + rand.IntN(lastFreePort-firstFreePort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, errors.Join(errors.New("no free port on 127.0.0.1"), last)
}
