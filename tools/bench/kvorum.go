package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

// kvorum is three storage nodes and a fan-out with a spare, as users run them.
// The nodes are the first three of the group.
type kvorum struct {
	bin   string
	group group
	urls  []string
	// profiled is where each process, by its name, serves profiles.
	profiled map[string]string
}

func (k *kvorum) name() string    { return "kvorum" }
func (k *kvorum) servers() *group { return &k.group }
func (k *kvorum) has(kind) bool   { return true }

func (k *kvorum) start(ctx context.Context, dir string) error {
	k.group, k.urls, k.profiled = group{}, nil, map[string]string{}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the-secret-of-this-run-alone"), 0o600); err != nil {
		return err
	}
	ports, err := freePorts(14)
	if err != nil {
		return err
	}
	var peers []string
	for i := range 3 {
		peers = append(peers, fmt.Sprintf("node-%d=%s", i+1, ports[i]))
	}
	routes := ports[3:6]
	for i := range 3 {
		name := fmt.Sprintf("node-%d", i+1)
		k.group.add(dir, name, filepath.Join(k.bin, "kvorum-node"), "--name", name, "--peers", strings.Join(peers, ","),
			"--peer-listen", ports[i], "--route-listen", routes[i], "--routes", without(routes, i),
			"--listen", ports[6+i], "--data-dir", filepath.Join(dir, name), "--secret-file", secret,
			"--pprof-listen", ports[9+i])
		k.profiled[name] = ports[9+i]
		k.urls = append(k.urls, "nats://"+ports[6+i])
	}
	for i := range 2 {
		name := fmt.Sprintf("watch-%d", i+1)
		p := k.group.add(dir, name, filepath.Join(k.bin, "kvorum-watch"), "--name", name, "--routes", strings.Join(routes, ","), "--secret-file", secret,
			"--pprof-listen", ports[12+i])
		p.fanOut = true
		k.profiled[name] = ports[12+i]
	}
	if err := k.group.start(); err != nil {
		return err
	}
	if err := k.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.Connect(ctx, strings.Join(k.urls, ","))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Sync(ctx, client.All()) // the fan-out answers
	return err
}

// ready: a linearizable read through each node, and each says of itself that it
// serves.
func (k *kvorum) ready(ctx context.Context) error {
	return allReady(ctx, len(k.urls), func(ctx context.Context, i int) error {
		c, err := client.Connect(ctx, k.urls[i])
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Get(ctx, "/ready"); err != nil && !errors.Is(err, client.ErrNotFound) {
			return err
		}
		for {
			once, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			status, err := c.StatusOf(once, k.group.procs[i].name)
			cancel()
			if err == nil && status.Ready || ctx.Err() != nil {
				return ctx.Err()
			}
			sleep(ctx, 5*time.Millisecond)
		}
	})
}

func (k *kvorum) stop() { k.group.kill() }

func (k *kvorum) leader(ctx context.Context) (int, error) {
	c, err := client.Connect(ctx, strings.Join(k.urls, ","))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for i := 0; ctx.Err() == nil && i < 100; i++ {
		if s, err := c.Status(ctx); err == nil && s.Leader != "" {
			return slices.IndexFunc(k.group.procs, func(p *proc) bool { return p.name == s.Leader }), nil
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return 0, errors.New("kvorum has no leader")
}

func (k *kvorum) open(ctx context.Context, connections int, to place) (session, error) {
	urls, err := to.of(ctx, k, k.urls)
	if err != nil {
		return nil, err
	}
	s := &kvorumSession{}
	for i := range connections {
		// Each begins at another node and knows the others.
		c, err := client.Connect(ctx, strings.Join(from(urls, i), ","), client.NATS(dontRandomize))
		if err != nil {
			s.close()
			return nil, err
		}
		s.clients = append(s.clients, c)
	}
	return s, nil
}

type kvorumSession struct {
	clients   []*client.Client
	ids       [][]int64         // leases of each client
	revisions [clientsMax]int64 // of each client's last compare-and-put
}

func (s *kvorumSession) of(n int) *client.Client { return s.clients[n%len(s.clients)] }

func (s *kvorumSession) do(ctx context.Context, k kind, n int, key string, value []byte) error {
	c := s.of(n)
	switch k {
	case put:
		_, err := c.Put(ctx, key, value)
		return err
	case get:
		_, err := c.Get(ctx, key)
		return err
	case getSerializable:
		_, err := c.Get(ctx, key, client.Serializable())
		return err
	case compareAndPut:
		res, err := c.Put(ctx, key, value, client.IfRevision(s.revisions[n]))
		if err != nil {
			return err
		}
		s.revisions[n] = res.Revision
		return nil
	case rangeOf100:
		res, err := c.Range(ctx, client.Interval(key, prefixEnd), client.Limit(100))
		if err == nil && len(res.KVs) != 100 {
			err = fmt.Errorf("%d keys from %s on, not 100", len(res.KVs), key)
		}
		return err
	case txnOf4:
		_, err := c.Txn().Then(client.Put(key, value), client.Put(key+"/a", value), client.Get(key), client.Get(key+"/a")).Commit(ctx)
		return err
	case leaseGrant:
		_, err := c.GrantLease(ctx, leaseTTLSeconds*time.Second)
		return err
	}
	return errUnsupported
}

func (s *kvorumSession) putAll(ctx context.Context, n int, keys []string, value []byte) error {
	txn := s.of(n).Txn()
	for _, key := range keys {
		txn.Then(client.Put(key, value))
	}
	_, err := txn.Commit(ctx)
	return err
}

func (s *kvorumSession) watch(ctx context.Context, n int, key string, event func(int64, []byte)) error {
	w, err := s.of(n).Watch(ctx, client.Key(key))
	if err != nil {
		return err
	}
	go func() {
		for r := range w.Revisions() { // to the end of ctx
			for _, e := range r.Events {
				event(e.KV.ModRevision, e.KV.Value)
			}
		}
	}()
	return nil
}

func (s *kvorumSession) leases(ctx context.Context, clients int) error {
	s.ids = make([][]int64, clients)
	return inParallel(clients, func(n int) error {
		for range leasesPerClient {
			l, err := s.of(n).GrantLease(ctx, leaseTTLSeconds*time.Second)
			if err != nil {
				return err
			}
			s.ids[n] = append(s.ids[n], l.ID)
		}
		return nil
	})
}

func (s *kvorumSession) keep(ctx context.Context, n int) error {
	leases, err := s.of(n).KeepAlive(ctx, s.ids[n]...)
	for _, l := range leases {
		err = cmp.Or(err, l.Err)
	}
	return err
}

func (s *kvorumSession) close() {
	for _, c := range s.clients {
		c.Close()
	}
}
