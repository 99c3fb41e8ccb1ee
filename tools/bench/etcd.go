package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/grpclog"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd is three members of stock etcd with its default settings, but for the
// quota of the store, which 10 million keys exceed.
type etcd struct {
	bin   string
	group group
	urls  []string
}

func (e *etcd) name() string    { return "etcd" }
func (e *etcd) servers() *group { return &e.group }
func (e *etcd) has(k kind) bool { return k != fanOut }

func (e *etcd) start(ctx context.Context, dir string) error {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, discard{}))
	e.group, e.urls = group{}, nil
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	var members []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("m%d=http://%s", i, ports[i]))
	}
	for i := range 3 {
		name := fmt.Sprintf("m%d", i)
		peer, url := "http://"+ports[i], "http://"+ports[3+i]
		e.group.add(dir, name, filepath.Join(e.bin, "etcd"), "--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--listen-client-urls", url, "--advertise-client-urls", url,
			"--initial-cluster", strings.Join(members, ","), "--log-level", "error", "--quota-backend-bytes", strconv.Itoa(8<<30))
		e.urls = append(e.urls, url)
	}
	if err := e.group.start(); err != nil {
		return err
	}
	return e.ready(ctx)
}

// ready: a linearizable read from each member.
func (e *etcd) ready(ctx context.Context) error {
	// gRPC's pause between attempts to connect is a second at first.
	quick := grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}})
	return allReady(ctx, len(e.urls), func(ctx context.Context, i int) error {
		c, err := e.dial([]string{e.urls[i]}, quick)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			once, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := c.Get(once, "/ready")
			cancel()
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			sleep(ctx, 5*time.Millisecond)
		}
	})
}

func (e *etcd) dial(urls []string, opts ...grpc.DialOption) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: 10 * time.Second, Logger: zap.NewNop(), DialOptions: opts})
}

func (e *etcd) stop() { e.group.kill() }

func (e *etcd) leader(ctx context.Context) (int, error) {
	for i, url := range e.urls {
		c, err := e.dial([]string{url})
		if err != nil {
			return 0, err
		}
		once, cancel := context.WithTimeout(ctx, time.Second)
		s, err := c.Status(once, url)
		cancel()
		c.Close()
		if err == nil && s.Leader == s.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("etcd has no leader")
}

func (e *etcd) open(ctx context.Context, connections int, to place) (session, error) {
	urls, err := to.of(ctx, e, e.urls)
	if err != nil {
		return nil, err
	}
	s := &etcdSession{}
	for i := range connections {
		// clientv3 has a connection to each server that it knows and sends requests
		// to all in turn: three times the connections, and a third more CPU.
		known := from(urls, i)
		if to != movable {
			known = known[:1]
		}
		c, err := e.dial(known)
		if err != nil {
			s.close()
			return nil, err
		}
		s.clients = append(s.clients, c)
	}
	return s, nil
}

type etcdSession struct {
	clients   []*clientv3.Client
	streams   []leaseStream // of each client
	revisions [clientsMax]int64
}

func (s *etcdSession) of(n int) *clientv3.Client { return s.clients[n%len(s.clients)] }

func (s *etcdSession) do(ctx context.Context, k kind, n int, key string, value []byte) error {
	c := s.of(n)
	switch k {
	case put:
		_, err := c.Put(ctx, key, string(value))
		return err
	case get:
		return found(1)(c.Get(ctx, key))
	case getSerializable:
		return found(1)(c.Get(ctx, key, clientv3.WithSerializable()))
	case compareAndPut:
		res, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", s.revisions[n])).Then(clientv3.OpPut(key, string(value))).Commit()
		if err != nil {
			return err
		}
		if !res.Succeeded {
			return fmt.Errorf("compare-and-put of %s failed", key)
		}
		s.revisions[n] = res.Header.Revision
		return nil
	case rangeOf100:
		return found(100)(c.Get(ctx, key, clientv3.WithRange(prefixEnd), clientv3.WithLimit(100)))
	case txnOf4:
		_, err := c.Txn(ctx).Then(clientv3.OpPut(key, string(value)), clientv3.OpPut(key+"/a", string(value)), clientv3.OpGet(key), clientv3.OpGet(key+"/a")).Commit()
		return err
	case leaseGrant:
		_, err := c.Grant(ctx, leaseTTLSeconds)
		return err
	}
	return errUnsupported
}

// found fails unless a read found so many keys.
func found(keys int) func(*clientv3.GetResponse, error) error {
	return func(res *clientv3.GetResponse, err error) error {
		if err == nil && len(res.Kvs) != keys {
			err = fmt.Errorf("%d keys, not %d", len(res.Kvs), keys)
		}
		return err
	}
}

func (s *etcdSession) putAll(ctx context.Context, n int, keys []string, value []byte) error {
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpPut(key, string(value)))
	}
	_, err := s.of(n).Txn(ctx).Then(ops...).Commit()
	return err
}

func (s *etcdSession) watch(ctx context.Context, n int, key string, event func(int64, []byte)) error {
	ch := s.of(n).Watch(ctx, key, clientv3.WithCreatedNotify())
	if r := <-ch; r.Err() != nil {
		return r.Err()
	}
	go func() {
		for r := range ch {
			for _, e := range r.Events {
				event(e.Kv.ModRevision, e.Kv.Value)
			}
		}
	}()
	return nil
}

// leaseStream is one client's stream of renewals, and its leases.
type leaseStream struct {
	pb.Lease_LeaseKeepAliveClient
	ids []clientv3.LeaseID
}

func (s *etcdSession) leases(ctx context.Context, clients int) error {
	s.streams = make([]leaseStream, clients)
	return inParallel(clients, func(n int) (err error) {
		stream := leaseStream{}
		for range leasesPerClient {
			l, err := s.of(n).Grant(ctx, leaseTTLSeconds)
			if err != nil {
				return err
			}
			stream.ids = append(stream.ids, l.ID)
		}
		stream.Lease_LeaseKeepAliveClient, err = pb.NewLeaseClient(s.of(n).ActiveConnection()).LeaseKeepAlive(ctx)
		s.streams[n] = stream
		return err
	})
}

// keep sends all renewals before it reads the answers, as clientv3's own loop
// does when many are due.
func (s *etcdSession) keep(_ context.Context, n int) error {
	stream := s.streams[n]
	for _, id := range stream.ids {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			return err
		}
	}
	for range stream.ids {
		res, err := stream.Recv()
		if err != nil {
			return err
		}
		if res.TTL <= 0 {
			return fmt.Errorf("lease %x is over", res.ID)
		}
	}
	return nil
}

func (s *etcdSession) close() {
	for _, c := range s.clients {
		c.Close()
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
