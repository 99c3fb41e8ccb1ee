package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// service holds the subscriptions of a node. Interest is leadership: the
// subjects of writes have a subscriber where the leader is, so that a request
// reaches it in one hop from anywhere. Besides, each node's server sends its own
// clients' writes to the node that it takes for the leader, and nowhere else: a
// leader that hangs keeps its subscriptions until its connections are cut.
type service struct {
	node  *Node
	conn  *nats.Conn // account of the clients
	inner *nats.Conn // internal account

	mu    sync.Mutex
	reads []*nats.Subscription // while its state keeps up
	// readsAt and writesAt are where its own server's clients are answered, the
	// name of a node or empty for any.
	readsAt, writesAt string
	leaving           bool
	writes            []*nats.Subscription // while this node takes writes
	leads             []*nats.Subscription // while it serves as leader
}

// start subscribes to what every node answers.
func (s *service) start() error {
	if err := s.listenHere(); err != nil {
		return err
	}
	if err := s.follow(replica.Role{}, false, true); err != nil {
		return err
	}
	if _, err := s.listen(s.conn, api.SubjectStatus, queueNodes, s.node.serveStatus); err != nil {
		return err
	}
	if _, err := s.listen(s.conn, api.SubjectStatus+"."+s.node.cfg.Name, "", s.node.serveStatus); err != nil {
		return err
	}
	if _, err := s.listen(s.conn, natsbus.SubjectUnknown+">", queueNodes, s.unknown); err != nil {
		return err
	}
	_, err := s.listen(s.inner, subjectFeedPoll, queueNodes, s.node.feed.serve)
	return err
}

// listen subscribes a handler that returns at once.
func (s *service) listen(nc *nats.Conn, subject, queue string, h nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := nc.QueueSubscribe(subject, queue, h) // an empty queue is none
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return sub, sub.SetPendingLimits(subscriptionPendingMessages, subscriptionPendingBytes)
}

func (s *service) subscribe(op operation) (subs []*nats.Subscription, err error) {
	for _, subject := range op.subjects {
		sub, err := s.listen(s.conn, subject, queueNodes, func(m *nats.Msg) { s.node.handle(op, m, false) })
		if err != nil {
			return subs, err
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// listenHere subscribes to what servers send to this node alone. The
// subscriptions stay: answerAt sends requests to them or not.
func (s *service) listenHere() error {
	here := natsbus.At(s.node.cfg.Name)
	for _, op := range operations() {
		for _, subject := range op.subjects {
			_, err := s.listen(s.conn, here+subject, "", func(m *nats.Msg) {
				m.Subject = m.Subject[len(here):]
				s.node.handle(op, m, false)
			})
			if err != nil {
				return err
			}
		}
	}
	return s.conn.Flush() // the server knows of them before it sends anything there
}

// answerAt has this server's own clients answered by one node, or by any: their
// writes, or their reads. at is what holds now.
func (s *service) answerAt(at *string, node string, leader bool) error {
	if *at == node {
		return nil
	}
	*at = node
	var subjects []string
	for _, op := range operations() {
		if op.leader == leader {
			subjects = append(subjects, op.subjects...)
		}
	}
	return s.node.clients.AnswerAt(subjects, node)
}

// direct decides where this server's own clients are answered. A node that knows
// of no leader, or of one that has not shown yet that it can commit, takes their
// writes itself, to hold them for it or to pass them on. Reads are better asked
// of a node that may know a leader.
func (s *service) direct(role replica.Role, settled, answersReads bool) error {
	reads, writes := "", s.node.cfg.Name
	if answersReads && role.Leader != 0 && !s.leaving {
		reads = s.node.cfg.Name
	}
	if settled {
		writes = s.node.name(role.Leader)
	}
	return errors.Join(s.answerAt(&s.readsAt, reads, false), s.answerAt(&s.writesAt, writes, true))
}

// unknown answers a request that is on no operation's subject.
func (s *service) unknown(m *nats.Msg) {
	name := m.Subject[len(natsbus.SubjectUnknown):]
	respondError(m, api.Errorf(api.KindUnknownOperation, "there is no operation %s: `kvorum help` and the protocol document list them", name))
}

// follow subscribes and unsubscribes as the role and the applied term ask for.
// A node takes writes while it serves, and while it knows of no leader, to
// hold them for one; a follower lets go when the new leader has shown that it
// can commit.
func (s *service) follow(role replica.Role, settled, answersReads bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.direct(role, settled, answersReads); err != nil {
		return err
	}
	reads := func() ([]*nats.Subscription, error) { return s.subscribeAll(false) }
	if err := s.toggle(&s.reads, answersReads, reads); err != nil {
		return err
	}
	writes := func() ([]*nats.Subscription, error) { return s.subscribeAll(true) }
	if err := s.toggle(&s.writes, role.Leading || !settled, writes); err != nil {
		return err
	}
	return s.toggle(&s.leads, role.Serving, s.subscribeLeader)
}

func (s *service) toggle(subs *[]*nats.Subscription, want bool, subscribe func() ([]*nats.Subscription, error)) (err error) {
	switch {
	case want && *subs == nil:
		*subs, err = subscribe()
	case !want && *subs != nil:
		for _, sub := range *subs {
			// Messages that have arrived are still handled: a drain, no cut.
			if e := sub.Drain(); e != nil {
				err = e
			}
		}
		*subs = nil
	}
	return err
}

func (s *service) subscribeAll(leader bool) (subs []*nats.Subscription, err error) {
	for _, op := range operations() {
		if op.leader != leader {
			continue
		}
		more, err := s.subscribe(op)
		if err != nil {
			return subs, err
		}
		subs = append(subs, more...)
	}
	return subs, nil
}

// subscribeLeader takes what the fan-out asks of the leader. There is no queue
// group: a leader that was replaced and hangs would get its share.
func (s *service) subscribeLeader() (subs []*nats.Subscription, err error) {
	for subject, h := range map[string]nats.MsgHandler{subjectFeedLeader: s.node.feed.serve, subjectFeedGrant: s.node.grants.serve} {
		sub, err := s.listen(s.inner, subject, "", h)
		if err != nil {
			return subs, err
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// newRequest wraps a message that is to be answered.
func (n *Node) newRequest(m *nats.Msg, endpoint string) *request {
	n.responder.taken.Add(1)
	return &request{msg: m, endpoint: endpoint, began: time.Now(), deadline: n.clock() + int64(requestTimeout), out: &n.responder}
}

// handle takes a client's request, or one that another node passed on.
func (n *Node) handle(op operation, m *nats.Msg, passed bool) {
	req := n.newRequest(m, op.name)
	req.passed = passed
	c, err := op.parse(m)
	if err == nil {
		err = n.admit(c)
	}
	if err != nil {
		req.fail(err)
		return
	}
	if c.lead != nil {
		req.deadline += int64(c.wait)
		n.lead(leadRequest{req, c.lead})
		return
	}
	if c.command == nil {
		n.serveRead(&readRequest{request: req, serve: c.read}, c)
		return
	}
	if len(c.data) > store.MaxCommandBytes {
		// The bound on keys and values leaves out what is only read, and what
		// many small operations take besides.
		req.fail(api.Errorf(api.KindTooLarge, "the request takes %d bytes in the log, more than %d: split it", len(c.data), store.MaxCommandBytes))
		return
	}
	w := &writeRequest{request: req, render: c.render}
	n.propose(replica.Proposal{Command: c.data, Deadline: req.deadline, Tag: w})
}

// serveRead routes a read to a quorum round, or to the state as it is.
func (n *Node) serveRead(r *readRequest, c *call) {
	if !c.serializable {
		n.read(r)
		return
	}
	n.readers.await(member.Awaited{Revision: c.minRevision, Reads: []replica.Read{{Deadline: r.deadline, Tag: r}}})
}

// propose hands a write to consensus.
func (n *Node) propose(p replica.Proposal) {
	if !n.box.propose(p) {
		p.Tag.(proposer).fail(api.Errorf(api.KindOverloaded, "too many writes wait on this node: try again later"))
	}
}

// lead hands a request to the leader, if this node is it.
func (n *Node) lead(l leadRequest) {
	full := false
	n.box.put(func(in *inputs) {
		if full = len(in.Leads) >= leadsMax; !full {
			in.Leads = append(in.Leads, func() { n.consensus.lead(l) })
		}
	})
	if full {
		l.fail(api.Errorf(api.KindOverloaded, "too many requests wait on this node: try again later"))
	}
}

// read asks for a quorum round.
func (n *Node) read(r reader) {
	deadline := n.clock() + int64(holdTimeout)
	if !n.box.read(replica.Read{Deadline: deadline, Tag: r}) {
		r.fail(api.Errorf(api.KindOverloaded, "too many reads wait on this node: try again later"))
	}
}

// passedOn takes what another node sends apart from Raft: a request that it
// passes on, its hello, or its question for a digest.
func (n *Node) passedOn(m *nats.Msg) {
	switch m.Subject {
	case subjectHello:
		n.joining.answer(m)
		return
	case subjectDigest:
		n.answerDigest(m)
		return
	}
	if !n.joined.Load() {
		respondError(m, api.Errorf(api.KindUnavailable, "this node is starting: try again"))
		return
	}
	for _, op := range operations() {
		if op.leader && matches(op.subjects[0], m.Subject) {
			n.handle(op, m, true)
			return
		}
	}
	respondError(m, api.Errorf(api.KindInternal, "another node passed on %s, which any node answers", m.Subject))
}

// matches reports whether a subject is pattern, which may end in ">".
func matches(pattern, subject string) bool {
	if stem := len(pattern) - 1; pattern[stem] == '>' {
		return len(subject) > stem && subject[:stem] == pattern[:stem]
	}
	return pattern == subject
}

// leave has the requests of this server's own clients answered elsewhere, as far
// as that is possible.
func (s *service) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	return s.answerAt(&s.readsAt, "", false)
}

// drain unsubscribes and waits until the requests that had arrived are handled.
func (s *service) drain(ctx context.Context) error {
	done := make(chan struct{})
	s.conn.SetClosedHandler(func(*nats.Conn) { close(done) })
	if err := s.conn.Drain(); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
