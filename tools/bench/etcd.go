package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/grpclog"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd is three members of stock etcd with its default settings.
type etcd struct {
	bin   string
	group group
	urls  []string
}

func (e *etcd) name() string    { return "etcd" }
func (e *etcd) servers() *group { return &e.group }
func (e *etcd) has(kind) bool   { return true }

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
			"--initial-cluster", strings.Join(members, ","), "--log-level", "error")
		e.urls = append(e.urls, url)
	}
	if err := e.group.start(); err != nil {
		return err
	}
	return e.ready(ctx)
}

func (e *etcd) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, url := range e.urls {
		c, err := e.dial(url)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			once, cancel := context.WithTimeout(ctx, time.Second)
			_, err := c.Put(once, "/ready", "")
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("etcd is not ready: %w", err)
			}
		}
	}
	return nil
}

func (e *etcd) dial(urls ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
}

func (e *etcd) stop() { e.group.kill() }

func (e *etcd) leader(ctx context.Context) (*proc, error) {
	i, err := e.leaderIndex(ctx)
	if err != nil {
		return nil, err
	}
	return e.group.procs[i], nil
}

func (e *etcd) leaderIndex(ctx context.Context) (int, error) {
	for i, url := range e.urls {
		c, err := e.dial(url)
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
	return 0, fmt.Errorf("etcd has no leader")
}

func (e *etcd) open(ctx context.Context, connections int, near bool) (session, error) {
	urls := e.urls
	if near {
		i, err := e.leaderIndex(ctx)
		if err != nil {
			return nil, err
		}
		urls = urls[i : i+1]
	}
	s := &etcdSession{}
	for i := range connections {
		// clientv3 would spread one client's requests over all endpoints; a
		// client that lives through a failover knows them all.
		c, err := e.dial(append(append([]string{}, urls[i%len(urls):]...), urls[:i%len(urls)]...)...)
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
	ids       []clientv3.LeaseID
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
		_, err := c.Get(ctx, key)
		return err
	case getSerializable:
		_, err := c.Get(ctx, key, clientv3.WithSerializable())
		return err
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
		_, err := c.Get(ctx, key, clientv3.WithRange(prefixEnd), clientv3.WithLimit(100))
		return err
	case txnOf4:
		_, err := c.Txn(ctx).Then(clientv3.OpPut(key, string(value)), clientv3.OpPut(key+"/a", string(value)), clientv3.OpGet(key), clientv3.OpGet(key+"/a")).Commit()
		return err
	}
	return errUnsupported
}

func (s *etcdSession) watch(ctx context.Context, n int, key string, event func([]byte)) error {
	var opts []clientv3.OpOption
	if key == "" {
		key, opts = prefix, append(opts, clientv3.WithPrefix())
	}
	ch := s.of(n).Watch(ctx, key, append(opts, clientv3.WithCreatedNotify())...)
	if r := <-ch; r.Err() != nil {
		return r.Err()
	}
	go func() {
		for r := range ch {
			for _, e := range r.Events {
				event(e.Kv.Value)
			}
		}
	}()
	return nil
}

func (s *etcdSession) leases(ctx context.Context, n int) error {
	for i := range n {
		l, err := s.of(i).Grant(ctx, 600)
		if err != nil {
			return err
		}
		s.ids = append(s.ids, l.ID)
	}
	return nil
}

func (s *etcdSession) keep(ctx context.Context, n, i int) (int, error) {
	_, err := s.of(n).KeepAliveOnce(ctx, s.ids[(n*7919+i)%len(s.ids)])
	return 1, err
}

func (s *etcdSession) close() {
	for _, c := range s.clients {
		c.Close()
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
