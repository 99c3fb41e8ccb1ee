package client

import (
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

// gate is a way to the server that can hang: its connections stay open, new ones
// are taken, and nothing passes, as with a process that is stopped.
type gate struct {
	url  string
	hung chan struct{}
	end  chan struct{}
}

func newGate(b *bus) *gate {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	g := &gate{url: "nats://" + l.Addr().String(), hung: make(chan struct{}), end: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", b.server.Addr().String())
			if err != nil {
				b.t.Error(err)
				return
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() { g.pass(way[0], way[1]) })
			}
			wg.Go(func() {
				<-g.end
				_, _ = in.Close(), out.Close()
			})
		}
	})
	b.t.Cleanup(func() {
		_ = l.Close()
		close(g.end)
		wg.Wait()
	})
	return g
}

func (g *gate) pass(from, to net.Conn) {
	part := make([]byte, 4096)
	for {
		n, err := from.Read(part)
		if err != nil {
			_ = to.Close()
			return
		}
		select {
		case <-g.hung:
			<-g.end
			return
		default:
			_, _ = to.Write(part[:n]) // where it fails, so does reading
		}
	}
}

func (g *gate) hang() { close(g.hung) }

// through connects by way of a gate, knowing of the server's own address.
func (b *bus) through(g *gate) *client.Client {
	b.t.Helper()
	c, err := client.Connect(deadline(b.t), g.url+","+b.server.ClientURL(), client.NATS(nats.DontRandomize()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	if url := c.Conn().ConnectedUrl(); url != g.url {
		b.t.Fatalf("connected to %s, want %s", url, g.url)
	}
	return c
}

// A server that hangs is left, whatever was sent to it: requests are answered on
// another connection, as the same writes.
func TestHungServerIsLeft(t *testing.T) {
	for name, size := range map[string]int{"small": 10, "more than the sockets take": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			b.serve("kv.put.>", func(_ int, m *nats.Msg) *nats.Msg { return ok(m) })
			g := newGate(b)
			c := b.through(g)
			if _, err := c.Put(deadline(t), "/a", nil); err != nil {
				t.Fatal(err)
			}
			g.hang()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if _, err := c.Put(deadline(t), "/a", make([]byte, size)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// A connection that only listens leaves a server that hangs, too.
func TestQuietServerIsDoubted(t *testing.T) {
	b := newBus(t)
	g := newGate(b)
	c := b.through(g)
	for _, s := range []string{api.SubjectProgress, "kvwatch.a"} {
		if _, err := c.Conn().Subscribe(s, func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	moved := c.Conn().StatusChanged(nats.CONNECTED)
	g.hang()
	select {
	case <-moved:
	case <-deadline(t).Done():
		t.Fatal("it stays with the hung server")
	}
	if url := c.Conn().ConnectedUrl(); url == g.url {
		t.Fatalf("connected to %s again", url)
	}
}

// A server that answers pings is not left, however long requests take.
func TestSlowAnswersAreNoHang(t *testing.T) {
	b := newBus(t)
	b.serve("kv.put.>", func(n int, m *nats.Msg) *nats.Msg {
		if n < 4 {
			return nil
		}
		return ok(m)
	})
	c := b.through(newGate(b))
	if _, err := c.Put(deadline(t), "/a", nil); err != nil {
		t.Fatal(err)
	}
	if n := c.Conn().Stats().Reconnects; n != 0 {
		t.Errorf("it reconnected %d times", n)
	}
}
