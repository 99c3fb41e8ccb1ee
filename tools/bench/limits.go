package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// limits measure the machine: what no store built on this disk and on NATS can
// exceed. Their servers are three bare nats-servers.
type limits struct {
	bin   string
	group group
	urls  []string
	dir   string
}

func (l *limits) start(dir string) error {
	l.dir = dir
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	for i := range 3 {
		var routes []string
		for r := range 3 {
			if r != i {
				routes = append(routes, "nats://"+ports[3+r])
			}
		}
		l.group.add(dir, fmt.Sprintf("nats-%d", i), filepath.Join(l.bin, "nats-server"), "-a", "127.0.0.1", "-p", port(ports[i]),
			"--cluster_name", "c", "--cluster", "nats://"+ports[3+i], "--routes", strings.Join(routes, ","))
		l.urls = append(l.urls, "nats://"+ports[i])
	}
	if err := l.group.start(); err != nil {
		return err
	}
	return poll(startTimeout, "nats-server to listen", func() bool {
		for _, u := range l.urls {
			nc, err := nats.Connect(u)
			if err != nil {
				return false
			}
			nc.Close()
		}
		return true
	})
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// disk writes 2 KB and syncs it, into a file that is already there.
func (l *limits) disk(ctx context.Context, d time.Duration) (result, error) {
	const size, block = 16 << 20, 2 << 10
	f, err := os.Create(filepath.Join(l.dir, "sync"))
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, size)); err != nil {
		return result{}, err
	}
	data := make([]byte, block)
	return closedLoop(ctx, &group{}, 1, d, func(_ context.Context, _, i int) error {
		if _, err := f.WriteAt(data, int64(i*block%size)); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
}

// request asks a responder on another server.
func (l *limits) request(ctx context.Context, clients int, d time.Duration) (result, error) {
	responder, err := nats.Connect(l.urls[1])
	if err != nil {
		return result{}, err
	}
	defer responder.Close()
	if _, err := responder.Subscribe("q", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return result{}, err
	}
	if err := responder.Flush(); err != nil {
		return result{}, err
	}
	var conns []*nats.Conn
	for range connectionsFor(clients) {
		nc, err := nats.Connect(l.urls[0])
		if err != nil {
			return result{}, err
		}
		defer nc.Close()
		conns = append(conns, nc)
	}
	data := make([]byte, 256)
	return closedLoop(ctx, &l.group, clients, d, func(ctx context.Context, c, _ int) error {
		_, err := conns[c%len(conns)].RequestWithContext(ctx, "q", data)
		return err
	})
}

// fan publishes to many subscriptions on the other servers; an operation is one
// delivery.
func (l *limits) fan(ctx context.Context, watchers int, d time.Duration) (result, error) {
	var delivered atomic.Int64
	for i := range max(1, watchers/watchersPerConnection) {
		nc, err := nats.Connect(l.urls[i%len(l.urls)])
		if err != nil {
			return result{}, err
		}
		defer nc.Close()
		for range min(watchers, watchersPerConnection) {
			if _, err := nc.Subscribe("e", func(*nats.Msg) { delivered.Add(1) }); err != nil {
				return result{}, err
			}
		}
		if err := nc.Flush(); err != nil {
			return result{}, err
		}
	}
	nc, err := nats.Connect(l.urls[0])
	if err != nil {
		return result{}, err
	}
	defer nc.Close()
	data := make([]byte, 256)
	// As many on the way as the slowest reader's buffers take.
	var published int64
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if published*int64(watchers)-delivered.Load() > int64(watchers)*64 {
				time.Sleep(50 * time.Microsecond)
				continue
			}
			_ = nc.Publish("e", data)
			published++
		}
	}()
	sleep(ctx, d/5)
	before, began, from := l.group.usage(), time.Now(), delivered.Load()
	sleep(ctx, d)
	return result{Ops: delivered.Load() - from, Elapsed: time.Since(began), usage: l.group.usage().since(before)}, nil
}
