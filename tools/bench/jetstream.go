package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	jet "github.com/nats-io/nats.go/jetstream"
)

// jetstream is JetStream's KV with three replicas. With synced it syncs before
// it acknowledges, which is not its default.
type jetstream struct {
	bin    string
	synced bool
	group  group
	urls   []string
}

func (j *jetstream) name() string {
	if j.synced {
		return "js-always"
	}
	return "js-default"
}

func (j *jetstream) servers() *group { return &j.group }

func (j *jetstream) has(k kind) bool {
	return k == put || k == getSerializable || k == compareAndPut || k == watching
}

// bucket is the name of the KV store.
const bucket = "bench"

func (j *jetstream) start(ctx context.Context, dir string) error {
	j.group, j.urls = group{}, nil
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i)
		sync := ""
		if j.synced {
			sync = "sync_interval: always"
		}
		var routes []string
		for r := range 3 {
			if r != i {
				routes = append(routes, fmt.Sprintf("%q", "nats://"+ports[3+r]))
			}
		}
		config := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { store_dir: %q, %s }\ncluster { name: c, listen: %q, routes: [%s] }\n",
			name, ports[i], filepath.Join(dir, name), sync, ports[3+i], strings.Join(routes, ","))
		path := filepath.Join(dir, name+".conf")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return err
		}
		j.group.add(dir, name, filepath.Join(j.bin, "nats-server"), "-c", path)
		j.urls = append(j.urls, "nats://"+ports[i])
	}
	if err := j.group.start(); err != nil {
		return err
	}
	return j.create(ctx)
}

// create makes the bucket.
func (j *jetstream) create(ctx context.Context) (err error) {
	var nc *nats.Conn
	if err = poll(startTimeout, "JetStream to listen", func() bool {
		nc, err = nats.Connect(strings.Join(j.urls, ","))
		return err == nil
	}); err != nil {
		return err
	}
	defer nc.Close()
	js, err := jet.New(nc)
	if err != nil {
		return err
	}
	return poll(startTimeout, "JetStream's bucket", func() bool {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		kv, err := js.CreateOrUpdateKeyValue(once, jet.KeyValueConfig{Bucket: bucket, Replicas: 3, History: 1})
		if err != nil {
			return false
		}
		_, err = kv.Put(once, "ready", nil)
		return err == nil
	})
}

// ready: the newest value of a key through each server, from the stream's
// leader, which is the nearest to a linearizable read that it has.
func (j *jetstream) ready(ctx context.Context) error {
	return allReady(ctx, len(j.urls), func(ctx context.Context, i int) error {
		var nc *nats.Conn
		if err := poll(startTimeout, "JetStream to listen", func() (ok bool) {
			c, err := nats.Connect(j.urls[i])
			nc = c
			return err == nil || ctx.Err() != nil
		}); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		defer nc.Close()
		for {
			once, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			m, err := nc.RequestWithContext(once, "$JS.API.STREAM.MSG.GET.KV_"+bucket, []byte(`{"last_by_subj":"$KV.`+bucket+`.ready"}`))
			cancel()
			if err == nil && strings.Contains(string(m.Data), `"message"`) || ctx.Err() != nil {
				return ctx.Err()
			}
			sleep(ctx, 5*time.Millisecond)
		}
	})
}

func (j *jetstream) stop() { j.group.kill() }

func (j *jetstream) leader(ctx context.Context) (int, error) {
	nc, err := nats.Connect(strings.Join(j.urls, ","))
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jet.New(nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return 0, err
	}
	for i, p := range j.group.procs {
		if c := s.CachedInfo().Cluster; c != nil && p.name == c.Leader {
			return i, nil
		}
	}
	return 0, errors.New("JetStream's bucket has no leader")
}

func (j *jetstream) open(ctx context.Context, connections int, to place) (session, error) {
	urls, err := to.of(ctx, j, j.urls)
	if err != nil {
		return nil, err
	}
	s := &jetSession{}
	for i := range connections {
		if err := s.connect(ctx, from(urls, i)); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

type jetSession struct {
	conns     []*nats.Conn
	streams   []jet.JetStream
	kvs       []jet.KeyValue
	revisions [clientsMax]uint64
}

func (s *jetSession) connect(ctx context.Context, urls []string) error {
	nc, err := nats.Connect(strings.Join(urls, ","), dontRandomize, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	s.conns = append(s.conns, nc)
	js, err := jet.New(nc)
	if err != nil {
		return err
	}
	s.streams = append(s.streams, js)
	kv, err := js.KeyValue(ctx, bucket)
	s.kvs = append(s.kvs, kv)
	return err
}

// jetKey: a key must not begin with a slash there.
func jetKey(key string) string { return strings.TrimPrefix(key, "/") }

func (s *jetSession) do(ctx context.Context, k kind, n int, key string, value []byte) (err error) {
	kv := s.kvs[n%len(s.kvs)]
	switch k {
	case put:
		_, err = kv.Put(ctx, jetKey(key), value)
	case getSerializable:
		_, err = kv.Get(ctx, jetKey(key))
	case compareAndPut:
		var revision uint64
		if revision, err = kv.Update(ctx, jetKey(key), value, s.revisions[n]); err == nil {
			s.revisions[n] = revision
		}
	default:
		err = errUnsupported
	}
	return err
}

// putAll has all puts on the way at the same time: there are no transactions.
func (s *jetSession) putAll(ctx context.Context, n int, keys []string, value []byte) error {
	js := s.streams[n%len(s.streams)]
	var sent []jet.PubAckFuture
	for _, key := range keys {
		f, err := js.PublishAsync("$KV."+bucket+"."+jetKey(key), value)
		if err != nil {
			return err
		}
		sent = append(sent, f)
	}
	for _, f := range sent {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *jetSession) watch(ctx context.Context, n int, key string, event func(int64, []byte)) error {
	w, err := s.kvs[n%len(s.kvs)].Watch(ctx, jetKey(key), jet.UpdatesOnly())
	if err != nil {
		return err
	}
	go func() {
		for e := range w.Updates() {
			if e != nil {
				event(int64(e.Revision()), e.Value())
			}
		}
	}()
	return nil
}

func (s *jetSession) leases(context.Context, int) error { return errUnsupported }
func (s *jetSession) keep(context.Context, int) error   { return errUnsupported }

func (s *jetSession) close() {
	for _, nc := range s.conns {
		nc.Close()
	}
}
