package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

// kvorum is three storage nodes and a fan-out with a spare, as users run them.
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
		k.group.add(dir, name, filepath.Join(k.bin, "kvorum-watch"), "--name", name, "--routes", strings.Join(routes, ","), "--secret-file", secret,
			"--pprof-listen", ports[12+i])
		k.profiled[name] = ports[12+i]
	}
	if err := k.group.start(); err != nil {
		return err
	}
	return k.ready(ctx)
}

// ready waits until every node serves writes and the fan-out answers.
func (k *kvorum) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, url := range k.urls {
		c, err := client.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Put(ctx, "/ready", nil); err != nil {
			return err
		}
		if _, err := c.Sync(ctx, client.All()); err != nil {
			return err
		}
	}
	return nil
}

func (k *kvorum) stop() { k.group.kill() }

func (k *kvorum) leader(ctx context.Context) (*proc, error) {
	i, err := k.leaderIndex(ctx)
	if err != nil {
		return nil, err
	}
	return k.group.procs[i], nil
}

func (k *kvorum) leaderIndex(ctx context.Context) (int, error) {
	c, err := client.Connect(ctx, strings.Join(k.urls, ","))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for i := 0; ctx.Err() == nil && i < 100; i++ {
		if s, err := c.Status(ctx); err == nil && s.Leader != "" {
			for j, p := range k.group.procs {
				if p.name == s.Leader {
					return j, nil
				}
			}
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return 0, fmt.Errorf("kvorum has no leader")
}

func (k *kvorum) open(ctx context.Context, connections int, near bool) (session, error) {
	urls := k.urls
	if near {
		i, err := k.leaderIndex(ctx)
		if err != nil {
			return nil, err
		}
		urls = urls[i : i+1]
	}
	s := &kvorumSession{}
	for i := range connections {
		// Each begins at another node and knows the others.
		order := append(append([]string{}, urls[i%len(urls):]...), urls[:i%len(urls)]...)
		c, err := client.Connect(ctx, strings.Join(order, ","), client.NATS(dontRandomize))
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
	ids       []int64
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
		_, err := c.Range(ctx, client.Interval(key, prefixEnd), client.Limit(100))
		return err
	case txnOf4:
		_, err := c.Txn().Then(client.Put(key, value), client.Put(key+"/a", value), client.Get(key), client.Get(key+"/a")).Commit(ctx)
		return err
	}
	return errUnsupported
}

func (s *kvorumSession) watch(ctx context.Context, n int, key string, event func([]byte)) error {
	span := client.Key(key)
	if key == "" {
		span = client.Prefix(prefix)
	}
	w, err := s.of(n).Watch(ctx, span)
	if err != nil {
		return err
	}
	go func() {
		for r := range w.Revisions() { // to the end of ctx
			for _, e := range r.Events {
				event(e.KV.Value)
			}
		}
	}()
	return nil
}

// leasesPerKeepAlive is how many leases one request renews.
const leasesPerKeepAlive = 100

func (s *kvorumSession) leases(ctx context.Context, n int) error {
	for i := range n {
		l, err := s.of(i).GrantLease(ctx, 10*time.Minute)
		if err != nil {
			return err
		}
		s.ids = append(s.ids, l.ID)
	}
	return nil
}

func (s *kvorumSession) keep(ctx context.Context, n, i int) (int, error) {
	at := (n*7919 + i*leasesPerKeepAlive) % (len(s.ids) - leasesPerKeepAlive + 1)
	_, err := s.of(n).KeepAlive(ctx, s.ids[at:at+leasesPerKeepAlive]...)
	return leasesPerKeepAlive, err
}

func (s *kvorumSession) close() {
	for _, c := range s.clients {
		c.Close()
	}
}
