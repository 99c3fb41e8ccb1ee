package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// limits measure the machine: what no store built on this disk and on NATS can
// exceed. Their servers are three bare nats-servers.
type limits struct {
	*bench
	bin   string
	group group
	urls  []string
}

// limitRow is a row that no system is needed for.
type limitRow struct {
	name string
	run  func(ctx context.Context, l *limits) (result, error)
}

func limitRows(clients, watchers []int) []limitRow {
	rows := []limitRow{{"limit-sync", func(ctx context.Context, l *limits) (result, error) { return l.disk(ctx) }}}
	for _, n := range clients {
		rows = append(rows, limitRow{fmt.Sprintf("limit-request/%d", n), func(ctx context.Context, l *limits) (result, error) { return l.request(ctx, n) }})
	}
	for _, n := range watchers {
		rows = append(rows, limitRow{fmt.Sprintf("limit-fanout/%d", n), func(ctx context.Context, l *limits) (result, error) { return l.fan(ctx, n) }})
	}
	return rows
}

func (l *limits) start(dir string) error {
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
func (l *limits) disk(ctx context.Context) (result, error) {
	const size, block = 16 << 20, 2 << 10
	f, err := os.Create(filepath.Join(l.home, "sync"))
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, size)); err != nil {
		return result{}, err
	}
	data := make([]byte, block)
	return l.closedLoop(ctx, &group{}, 1, func(_ context.Context, _, i int) error {
		if _, err := f.WriteAt(data, int64(i*block%size)); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
}

// request asks a responder on another server.
func (l *limits) request(ctx context.Context, clients int) (result, error) {
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
	return l.closedLoop(ctx, &l.group, clients, func(ctx context.Context, c, _ int) error {
		_, err := conns[c%len(conns)].RequestWithContext(ctx, "q", l.value)
		return err
	})
}

// fanAhead is how many messages for each subscription are on the way at most.
const fanAhead = 64

// fan publishes to many subscriptions on all servers; an operation is one
// delivery.
func (l *limits) fan(ctx context.Context, watchers int) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	counts := make(counters, watchers)
	var conns []*nats.Conn
	for i := range watchConnections(watchers) {
		nc, err := nats.Connect(l.urls[i%len(l.urls)])
		if err != nil {
			return result{}, err
		}
		defer nc.Close()
		conns = append(conns, nc)
	}
	for i := range watchers {
		if _, err := conns[i%len(conns)].Subscribe("e", func(*nats.Msg) { counts[i].delivered.Add(1) }); err != nil {
			return result{}, err
		}
	}
	for _, nc := range conns {
		if err := nc.Flush(); err != nil {
			return result{}, err
		}
	}
	nc, err := nats.Connect(l.urls[0])
	if err != nil {
		return result{}, err
	}
	defer nc.Close()
	go func() {
		for published := 0; ctx.Err() == nil; published++ {
			_ = nc.Publish("e", l.value)
			for ctx.Err() == nil && int64(published*watchers)-counts.sum() > int64(watchers)*fanAhead {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	var from, to int64
	r := l.window(ctx, &l.group, l.time, func() { from = counts.sum() }, func() { to = counts.sum() })
	r.Ops = to - from
	return r, nil
}
