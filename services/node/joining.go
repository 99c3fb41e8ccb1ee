package node

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/badgerstore"
	rules "github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// joining makes a node with an empty disk a member, as package joining of the
// core decides, and answers those who ask.
type joining struct {
	node  *Node
	store *badgerstore.Store

	mu sync.Mutex // of changes to the membership
}

func (j *joining) membership() rules.Membership { return j.store.Membership() }

func (j *joining) replaced() bool { return j.membership().State == rules.StateReplaced }

func (j *joining) set(change func(*rules.Membership)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.store.Membership()
	change(&m)
	return j.store.SetMembership(m)
}

// run returns when the node is a member, or an error when ctx ends first.
func (j *joining) run(ctx context.Context) error {
	n := j.node
	if j.membership().Incarnation == 0 {
		if err := j.set(func(m *rules.Membership) { m.Incarnation = newIncarnation() }); err != nil {
			return err
		}
	}
	if j.membership().State != "" {
		return nil
	}
	g := &greeter{cfg: &n.cfg, peers: n.peers}
	self := rules.Self{ID: n.id, Incarnation: j.membership().Incarnation, Founders: len(n.cfg.Peers)}
	d, err := g.decide(ctx, self, func(d rules.Decision, missing string) error {
		if d.Outcome == rules.WaitFounders {
			n.log.Warn("waiting for " + missing + ": the first start of a cluster needs all its founding members once")
		} else {
			n.log.Warn("this node's disk is empty, but the cluster knows it with data: waiting for the others to elect a leader without it (no help: " + missing + ")")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("stopped before the node was a member: %w", err)
	}
	switch d.Outcome {
	case rules.Found:
		n.log.Info("founding the cluster", "members", len(n.cfg.Peers))
	case rules.Begin:
		d.Membership.Reason = "its disk was empty, and the cluster knew it with data"
		n.log.Warn("this node's disk is empty, but the cluster knows it with data: it catches up, and takes part in elections once it has", "term", d.Membership.MinTerm)
	}
	return j.set(func(m *rules.Membership) { *m = d.Membership })
}

// newIncarnation is never 0, which stands for none.
func newIncarnation() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:]) // it never fails: without randomness the process ends
	return binary.BigEndian.Uint64(b[:])>>1 | 1
}

// answer tells a node that asks what this one knows. A leader that still counts
// on that node's old log hands over.
func (j *joining) answer(m *nats.Msg) {
	var h rules.Hello
	if err := json.Unmarshal(m.Data, &h); err != nil {
		return // no node of ours
	}
	reply := rules.Reply{Membership: j.membership()}
	if n := j.node; n.joined.Load() {
		role := n.consensus.role.Load()
		reply.Term, reply.Leading = role.Term, role.Leading
		if h.HandsOver(role.Leading, role.Term) {
			n.log.Info("handing over: a member has lost its data, and this leader counts on its old log", "member", n.name(h.Node))
			n.box.call(func(r *replica.Replica) { r.HandOver(h.Node) })
		}
	}
	respondHello(m, reply)
}

// vouch waits until a replaced node has applied all that was committed when it
// asked, and makes it a full member.
func (j *joining) vouch(ctx context.Context) {
	n := j.node
	ticker := time.NewTicker(helloEvery)
	defer ticker.Stop()
	for {
		caughtUp := make(chan struct{}, 1)
		n.read(&readRequest{request: n.internalRequest("vouch"), serve: func(*mvcc.Published) (answer, error) {
			caughtUp <- struct{}{}
			return answer{}, nil
		}})
		timeout := time.NewTimer(requestTimeout)
		select {
		case <-caughtUp:
			timeout.Stop()
			if err := j.admit(); err != nil {
				n.fail(fmt.Errorf("noting that the node has caught up: %w", err))
			}
			return
		case <-timeout.C:
		case <-ctx.Done():
			timeout.Stop()
			return
		}
	}
}

// admit ends the state of a replaced node, on disk before it votes. Only then
// are the files that were set aside of no more use.
func (j *joining) admit() error {
	n := j.node
	term := n.consensus.role.Load().Term
	if err := j.set(func(m *rules.Membership) { m.State, m.MinTerm, m.Reason = rules.StateMember, term, "" }); err != nil {
		return err
	}
	n.box.call(func(r *replica.Replica) { r.Vouch() })
	n.settle()
	n.log.Info("caught up: this node takes part in elections again", "term", term)
	return j.store.ForgetDamaged()
}
