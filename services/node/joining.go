package node

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// States of a membership. The empty one is a node that is not a member yet.
const (
	stateMember   = "member"
	stateReplaced = "replaced" // a member again, whose votes do not count yet
)

const (
	subjectHello  = "hello" // on the peer bus
	helloEvery    = 100 * time.Millisecond
	helloTimeout  = time.Second
	waitingNotice = 5 * time.Second
)

// joining makes a node with an empty disk a member.
//
// A node that voted, or confirmed entries, and then lost its disk must not
// start over as if it had not: together with a node that is behind it could
// elect a leader that misses what was acknowledged. So a node with an empty
// disk asks the other founders first, and never decides alone.
//
//   - All founders have empty disks: the cluster is founded. Each notes the
//     incarnations of all, drawn when their directories were made. Hence the
//     first start needs all founders once.
//   - One was founded with this incarnation: so was this node.
//   - One was founded with another: this node has lost its disk. It waits for a
//     leader that was elected after it came back, and therefore without it; a
//     leader of before, which still counts on the old log, hands over. Under
//     that leader it catches up without taking part in elections, until it has
//     applied all that was committed when it asked. Whatever it had confirmed
//     before is in that leader's log, because the others elected it.
type joining struct {
	node  *Node
	store *badgerstore.Store

	mu     sync.Mutex // of changes to the membership
	notice time.Time  // when the waiting was last told
}

type hello struct {
	Node        uint64 `json:"node"`
	Incarnation uint64 `json:"incarnation"`
	// After, if not 0, asks for a leader of a later term.
	After uint64 `json:"after,omitempty"`
}

type helloReply struct {
	badgerstore.Membership
	Term    uint64 `json:"term"`
	Leading bool   `json:"leading"`
}

func (j *joining) membership() badgerstore.Membership { return j.store.Membership() }

func (j *joining) replaced() bool { return j.membership().State == stateReplaced }

func (j *joining) set(change func(*badgerstore.Membership)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.store.Membership()
	change(&m)
	return j.store.SetMembership(m)
}

// run returns when the node is a member, or an error when ctx ends first.
func (j *joining) run(ctx context.Context) error {
	if j.membership().Incarnation == 0 {
		var b [8]byte
		if _, err := crand.Read(b[:]); err != nil {
			return err
		}
		err := j.set(func(m *badgerstore.Membership) { m.Incarnation = binary.BigEndian.Uint64(b[:])>>1 | 1 })
		if err != nil {
			return err
		}
	}
	ticker := time.NewTicker(helloEvery)
	defer ticker.Stop()
	j.notice = time.Now()
	for after := uint64(0); j.membership().State == ""; {
		replies := j.ask(ctx, after)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before the node was a member: %w", ctx.Err())
		}
		next, err := j.decide(replies, after)
		if err != nil {
			return err
		}
		after = next
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// ask greets all other founders, and returns the replies of those who answer.
func (j *joining) ask(ctx context.Context, after uint64) map[uint64]helloReply {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	n := j.node
	body, err := json.Marshal(hello{Node: n.id, Incarnation: j.membership().Incarnation, After: after})
	if err != nil {
		panic(err) // numbers only
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	replies := map[uint64]helloReply{}
	for _, p := range n.cfg.Peers {
		if p.ID() == n.id {
			continue
		}
		wg.Go(func() {
			m, err := n.peers.Forward(ctx, p.ID(), subjectHello, nil, body)
			var r helloReply
			if err != nil || json.Unmarshal(m.Data, &r) != nil || r.Incarnation == 0 {
				return // not there yet
			}
			mu.Lock()
			replies[p.ID()] = r
			mu.Unlock()
		})
	}
	wg.Wait()
	return replies
}

// decide makes the node a member if the replies allow it. next is the term
// after which a replaced node wants a leader to be elected.
func (j *joining) decide(replies map[uint64]helloReply, after uint64) (next uint64, err error) {
	n, own := j.node, j.membership()
	founders := map[uint64]uint64{n.id: own.Incarnation}
	var known *helloReply
	members := 0 // that tell their term
	for id, r := range replies {
		founders[id] = r.Incarnation
		if r.State != "" {
			known = &r
			next = max(next, r.Term)
		}
		if r.State == stateMember && r.Term > 0 {
			members++
		}
	}
	if members <= len(n.cfg.Peers)/2 {
		// Only among a majority is one who knows the last term in which this
		// node voted or confirmed: less could hide a leader that has to hand over.
		next = 0
	}
	switch {
	case known == nil && len(replies) == len(n.cfg.Peers)-1:
		n.log.Info("founding the cluster", "members", len(n.cfg.Peers))
		return 0, j.set(func(m *badgerstore.Membership) { m.State, m.Founders = stateMember, founders })
	case known == nil:
		j.wait("waiting for %s: the first start of a cluster needs all its founding members once", j.missing(replies))
		return 0, nil
	case known.Founders[n.id] == own.Incarnation:
		return 0, j.set(func(m *badgerstore.Membership) { m.State, m.Founders = stateMember, known.Founders })
	}
	for _, r := range replies {
		if after > 0 && r.Leading && r.Term > after {
			n.log.Warn("this node's disk is empty, but the cluster knows it with data: it catches up, and takes part in elections once it has", "term", r.Term)
			return 0, j.set(func(m *badgerstore.Membership) {
				m.State, m.Founders, m.MinTerm = stateReplaced, known.Founders, r.Term
			})
		}
	}
	j.wait("this node's disk is empty, but the cluster knows it with data: waiting for the others to elect a leader without it (not answering: %s)", j.missing(replies))
	if after > 0 {
		return after, nil
	}
	return next, nil
}

// wait tells now and then what the node waits for.
func (j *joining) wait(format string, missing string) {
	if time.Since(j.notice) >= waitingNotice {
		j.notice = time.Now()
		j.node.log.Warn(fmt.Sprintf(format, missing))
	}
}

func (j *joining) missing(replies map[uint64]helloReply) string {
	var names []string
	for _, p := range j.node.cfg.Peers {
		if _, ok := replies[p.ID()]; !ok && p.ID() != j.node.id {
			names = append(names, p.Name)
		}
	}
	if names == nil {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// answer tells a node with an empty disk what this one knows. A leader that
// still counts on that node's old log hands over.
func (j *joining) answer(m *nats.Msg) {
	var h hello
	if err := json.Unmarshal(m.Data, &h); err != nil {
		return // no node of ours
	}
	reply := helloReply{Membership: j.membership()}
	if n := j.node; n.joined.Load() {
		role := n.consensus.role.Load()
		reply.Term, reply.Leading = role.Term, role.Leading
		if h.After > 0 && role.Leading && role.Term <= h.After {
			n.log.Info("handing over: a member has lost its disk, and this leader counts on its old log", "member", n.name(h.Node))
			n.box.call(func(r *replica.Replica) { r.HandOver(h.Node) })
		}
	}
	body, err := json.Marshal(reply)
	if err != nil {
		panic(err) // numbers and names only
	}
	_ = m.Respond(body) // a lost answer is asked for again
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
			if err := j.admit(ctx); err != nil {
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

// admit ends the state of a replaced node, on disk before it votes.
func (j *joining) admit(ctx context.Context) error {
	n := j.node
	term := n.consensus.role.Load().Term
	if err := j.set(func(m *badgerstore.Membership) { m.State, m.MinTerm = stateMember, term }); err != nil {
		return err
	}
	n.box.call(func(r *replica.Replica) { r.Vouch() })
	n.log.Info("caught up: this node takes part in elections again", "term", term)
	return nil
}
