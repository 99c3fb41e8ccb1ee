package node

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	rules "github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/natsbus"
)

const (
	subjectHello  = "hello" // on the peer bus
	helloEvery    = 100 * time.Millisecond
	helloTimeout  = time.Second
	waitingNotice = 5 * time.Second
)

// greeter asks the other founders on behalf of a node that is no member.
type greeter struct {
	cfg   *Config
	peers *natsbus.PeerBus
}

// decide greets the others until there is something to do, and returns that.
// It fails when ctx ends, or with the error of waiting, which is called now and
// then with the names of those who do not answer.
func (g *greeter) decide(ctx context.Context, self rules.Self, waiting func(d rules.Decision, missing string) error) (rules.Decision, error) {
	ticker := time.NewTicker(helloEvery)
	defer ticker.Stop()
	told := time.Now()
	for after := uint64(0); ; {
		replies := g.ask(ctx, rules.Hello{Node: self.ID, Incarnation: self.Incarnation, After: after})
		if ctx.Err() != nil {
			return rules.Decision{}, ctx.Err()
		}
		d := rules.Decide(self, replies, after)
		if d.Outcome != rules.WaitFounders && d.Outcome != rules.WaitLeader {
			return d, nil
		}
		if after = d.After; time.Since(told) >= waitingNotice {
			told = time.Now()
			if err := waiting(d, g.missing(replies)); err != nil {
				return d, err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// ask greets all other founders, and returns the replies of those who answer.
func (g *greeter) ask(ctx context.Context, h rules.Hello) map[uint64]rules.Reply {
	body, err := json.Marshal(h)
	if err != nil {
		panic(err) // numbers only
	}
	replies := map[uint64]rules.Reply{}
	for id, raw := range askPeers(ctx, g.cfg, g.peers, subjectHello, body) {
		var r rules.Reply
		if json.Unmarshal(raw, &r) == nil && r.Incarnation != 0 {
			replies[id] = r
		}
	}
	return replies
}

// missing names the founders that are no help: those who do not answer, and
// those whose data is damaged as well.
func (g *greeter) missing(replies map[uint64]rules.Reply) string {
	var names []string
	for _, p := range g.cfg.Peers {
		r, ok := replies[p.ID()]
		switch {
		case p.Name == g.cfg.Name:
		case !ok:
			names = append(names, p.Name)
		case r.State == rules.StateDamaged:
			names = append(names, p.Name+" (damaged as well)")
		}
	}
	if names == nil {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// askPeers sends all other founders the same, and returns what those answer who
// do within helloTimeout.
func askPeers(ctx context.Context, cfg *Config, peers *natsbus.PeerBus, subject string, body []byte) map[uint64][]byte {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := map[uint64][]byte{}
	for _, p := range cfg.Peers {
		if p.Name == cfg.Name {
			continue
		}
		wg.Go(func() {
			m, err := peers.Forward(ctx, p.ID(), subject, nil, body)
			if err != nil {
				return // not there
			}
			mu.Lock()
			answers[p.ID()] = m.Data
			mu.Unlock()
		})
	}
	wg.Wait()
	return answers
}

func respondHello(m *nats.Msg, r rules.Reply) {
	body, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers and names only
	}
	_ = m.Respond(body) // a lost answer is asked for again
}
