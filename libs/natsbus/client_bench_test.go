package natsbus

import (
	"testing"

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
