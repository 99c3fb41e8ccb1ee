package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/natsbus"
	"github.com/kvorum/kvorum/libs/svc"
)

// requests serves kv.history and kv.sync while the replica publishes.
type requests struct {
	ctx   context.Context
	name  string
	r     *replica
	stats *natsbus.Stats
	slots chan struct{} // one for each request that is being answered
	subs  []*nats.Subscription
}

// operation answers one kind of request from a snapshot.
type operation struct {
	name   string // of the endpoint
	prefix string // of its subjects
	answer func(*requests, *fanout.Snapshot, *request) (proto.Message, error)
}

var operations = []operation{
	{"history", api.SubjectHistory, (*requests).history},
	{"sync", api.SubjectSync, (*requests).sync},
}

func endpoints() (list []natsbus.Endpoint) {
	for _, op := range operations {
		list = append(list,
			natsbus.Endpoint{Name: op.name, Subject: op.prefix},
			natsbus.Endpoint{Name: op.name + "-prefix", Subject: op.prefix + ".>"})
	}
	return list
}

func newRequests(ctx context.Context, name string, r *replica) *requests {
	return &requests{ctx: ctx, name: name, r: r, stats: natsbus.NewStats(endpoints()), slots: make(chan struct{}, RequestsMax)}
}

// announce answers service discovery, also while the replica stands by.
func (q *requests) announce() (stop func(), err error) {
	id := q.name
	if strings.ContainsAny(id, ". *>\t") {
		id = "" // no subject token: a random one
	}
	stop, err = natsbus.Announce(q.r.kv, natsbus.ServiceInfo{
		Name: "kvorum-watch", ID: id, Version: svc.Version, Description: "Kvorum's watch fan-out: history and sync",
		Metadata: map[string]string{"replica": q.name}, Endpoints: endpoints(),
	}, q.stats.Endpoints)
	if err != nil {
		return nil, fmt.Errorf("announce the service: %w", err)
	}
	return stop, nil
}

// open begins to take requests. There is no queue group: where a holder that
// was stopped still has its subscriptions, the new one must get the request too.
func (q *requests) open() {
	if q.subs != nil {
		return
	}
	for _, op := range operations {
		for endpoint, subject := range map[string]string{op.name: op.prefix, op.name + "-prefix": op.prefix + ".>"} {
			sub, err := q.r.kv.Subscribe(subject, func(m *nats.Msg) { q.take(op, endpoint, m) })
			if err == nil {
				err = sub.SetPendingLimits(pendingRequests, pendingBytes)
			}
			if err != nil {
				q.r.fail(fmt.Errorf("subscribe to %s: %w", subject, err))
				return
			}
			q.subs = append(q.subs, sub)
		}
	}
}

// close takes no further requests.
func (q *requests) close() {
	for _, sub := range q.subs {
		_ = sub.Unsubscribe() // fails where the connection is closed already
	}
	q.subs = nil
}

// wait waits until the requests that were taken are answered.
func (q *requests) wait(limit time.Duration) {
	timeout := time.After(limit)
	for range RequestsMax {
		select {
		case q.slots <- struct{}{}:
		case <-timeout:
			return
		}
	}
}

// take answers a request in a goroutine of its own.
func (q *requests) take(op operation, endpoint string, m *nats.Msg) {
	began := time.Now()
	select {
	case q.slots <- struct{}{}:
	default:
		err := api.Errorf(api.KindOverloaded, "the fan-out answers %d requests already: try again later", RequestsMax)
		q.respond(m, nats.Header(err.Header()), err.Body())
		q.stats.Observe(endpoint, time.Since(began), err)
		return
	}
	go func() {
		defer func() { <-q.slots }()
		header, body, err := q.answer(op, m)
		if err != nil {
			e := asError(err)
			header, body = nats.Header(e.Header()), e.Body()
		}
		q.respond(m, header, body)
		q.stats.Observe(endpoint, time.Since(began), err)
	}()
}

func (q *requests) respond(m *nats.Msg, header nats.Header, body []byte) {
	if m.Reply == "" {
		return
	}
	if header == nil {
		header = nats.Header{}
	}
	header[api.HeaderNode] = []string{q.name}
	// An error means that the connection is closing: nobody is left to tell.
	_ = m.RespondMsg(&nats.Msg{Header: header, Data: body})
}
