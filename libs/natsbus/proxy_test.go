package natsbus

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between two servers and can cut the connections of one account.
type proxy struct {
	address string

	mu    sync.Mutex
	conns []*proxied
}

type proxied struct {
	ends [2]net.Conn
	mu   sync.Mutex
	seen strings.Builder // the start of what passed, where the account is named
}

func startProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String()}
	t.Cleanup(func() { l.Close(); p.cut("") })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			c := &proxied{ends: [2]net.Conn{in, out}}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			go c.copy(0, 1)
			go c.copy(1, 0)
		}
	}()
	return p
}

func (c *proxied) copy(from, to int) {
	defer c.close()
	for buf := make([]byte, 32<<10); ; {
		n, err := c.ends[from].Read(buf)
		c.mu.Lock()
		if c.seen.Len() < 1<<16 {
			c.seen.Write(buf[:n])
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := c.ends[to].Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *proxied) close() {
	c.ends[0].Close()
	c.ends[1].Close()
}

// cut closes the connections of an account, or all for "", and returns how many.
func (p *proxy) cut(account string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.conns {
		c.mu.Lock()
		matches := account == "" || strings.Contains(c.seen.String(), `"route_account":"`+account+`"`)
		c.mu.Unlock()
		if matches {
			c.close()
			n++
		}
	}
	return n
}
