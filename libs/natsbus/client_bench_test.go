package natsbus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/nats-io/nats.go"
)

// BenchmarkPublish shows what the mapping of unknown operations costs a
// message, from a connection inside the process; nobody subscribes.
func BenchmarkPublish(b *testing.B) {
	for _, mapped := range []bool{false, true} {
		opts, password, err := clientOptions(ClientConfig{Name: "a", Listen: "127.0.0.1:0", RouteListen: "127.0.0.1:0", ClusterName: "c", Secret: "s"})
		if err != nil {
			b.Fatal(err)
		}
		kv := opts.Accounts[0]
		if !mapped {
			for _, s := range append(mappedSubjects(), "kv.>", subjectAt+">") {
				kv.RemoveMapping(s)
			}
		}
		e, err := startServer(opts, newServerLog(nil, nil), password)
		if err != nil {
			b.Fatal(err)
		}
		inside, err := e.connect(userService, "bench")
		if err != nil {
			b.Fatal(err)
		}
		outside, err := nats.Connect("nats://" + e.srv.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		for _, subject := range []string{"_INBOX.aaaaaaaaaaaaaaaaaaaaaa.bbbbbbbb", "kvwatch.db.primary", "kv.get.db.primary", "kv.put.db.primary", "kv.admin.status", "kv.frobnicate.x"} {
			for _, from := range []struct {
				name string
				nc   *nats.Conn
			}{{"inside", inside}, {"tcp", outside}} {
				if from.name == "tcp" && subject[:3] == "kvw" {
					continue
				}
				b.Run(map[bool]string{false: "plain", true: "mapped"}[mapped]+"/"+from.name+"/"+subject, func(b *testing.B) {
					data := make([]byte, 100)
					for b.Loop() {
						if err := from.nc.Publish(subject, data); err != nil {
							b.Fatal(err)
						}
					}
					if err := from.nc.Flush(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
		inside.Close()
		outside.Close()
		e.stop()
	}
}

// BenchmarkRequest shows what the way of a request and its answer costs, from a
// client through its server to the service inside the process and back: 64
// clients on 8 connections, each key with a subject of its own. The unit that
// counts is the CPU time of the whole process, the clients' included.
func BenchmarkRequest(b *testing.B) {
	for _, name := range []string{"here", "there"} {
		b.Run(name, func(b *testing.B) {
			one, err := StartClient(clientConfig("a", "127.0.0.1:0"))
			if err != nil {
				b.Fatal(err)
			}
			defer one.Close()
			other := one
			if name == "there" {
				if other, err = StartClient(clientConfig("b", "127.0.0.1:0", one.RouteAddress())); err != nil {
					b.Fatal(err)
				}
				defer other.Close()
			}
			inside, err := other.Service()
			if err != nil {
				b.Fatal(err)
			}
			header, body := nats.Header{api.HeaderRevision: {"123456"}, api.HeaderModRevision: {"123455"}, api.HeaderVersion: {"1"},
				api.HeaderCreateRevision: {"123455"}, api.HeaderNode: {"node-1"}, api.HeaderTerm: {"3"}}, make([]byte, 256)
			if _, err := inside.QueueSubscribe("kv.get.>", "q", func(m *nats.Msg) {
				_ = m.RespondMsg(&nats.Msg{Header: header, Data: body})
			}); err != nil {
				b.Fatal(err)
			}
			var conns []*nats.Conn
			for range 8 {
				nc, err := nats.Connect(one.URL())
				if err != nil {
					b.Fatal(err)
				}
				defer nc.Close()
				conns = append(conns, nc)
			}
			for _, err := conns[0].Request("kv.get.x", nil, patience); err != nil; {
				_, err = conns[0].Request("kv.get.x", nil, patience)
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.ResetTimer()
			for i := range 64 {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if _, err := conns[i%8].Request(fmt.Sprintf("kv.get.bench.%d", n*7919%100_000), nil, patience); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := func(r syscall.Rusage) int64 { return r.Utime.Nano() + r.Stime.Nano() }
			b.ReportMetric(float64(cpu(after)-cpu(before))/float64(b.N), "cpu-ns/op")
		})
	}
}
