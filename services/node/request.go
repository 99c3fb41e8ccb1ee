package node

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// answer is what a client gets.
type answer struct {
	header nats.Header
	body   []byte
}

// request is one client's request, to be answered once.
type request struct {
	msg      *nats.Msg
	endpoint string // for statistics
	began    time.Time
	deadline int64 // of the node's clock
	// passed: another node has passed it on, so it is not passed on again.
	passed   bool
	answered atomic.Bool
	out      *responder
}

// responder sends answers.
type responder struct {
	node  string
	stats *natsbus.Stats
	term  func() uint64
	// taken and answered count requests.
	taken, answered atomic.Int64
	// damaged is told of every answer that found the node's data damaged.
	damaged func(error)
}

// reply answers a request; every call but the first does nothing.
func (r *request) reply(a answer) { r.finish(a, nil) }

// fail answers with an error.
func (r *request) fail(err error) {
	e := asError(err)
	r.finish(answer{header: nats.Header(e.Header()), body: e.Body()}, e)
	if errors.Is(err, store.ErrCorrupt) {
		r.out.damaged(err)
	}
}

func (r *request) finish(a answer, err error) {
	if !r.answered.CompareAndSwap(false, true) {
		return
	}
	defer r.out.answered.Add(1)
	r.out.stats.Observe(r.endpoint, time.Since(r.began), err)
	if r.msg.Reply == "" {
		return
	}
	if a.header == nil {
		a.header = nats.Header{}
	}
	if a.header[api.HeaderNode] == nil { // else it is another node's answer
		a.header[api.HeaderNode] = []string{r.out.node}
		a.header[api.HeaderTerm] = []string{strconv.FormatUint(r.out.term(), 10)}
	}
	// An error means that the connection is closing: nobody is left to tell.
	_ = r.msg.RespondMsg(&nats.Msg{Header: a.header, Data: a.body})
}

// proposer is behind a proposal and is told once what became of it.
type proposer interface {
	// done: it was applied. On the applier's goroutine.
	done(mvcc.Result)
	// fail: it was not proposed, or nobody knows. On the consensus goroutine.
	fail(error)
}

// reader is behind a linearizable read: it is served once, or fails.
type reader interface {
	run(*mvcc.Published)
	fail(error)
}

// writeRequest is a request whose command goes through the log.
type writeRequest struct {
	*request
	// render turns the command's result into the answer.
	render func(mvcc.Result) (answer, error)
}

// done answers with the outcome of the command.
func (w *writeRequest) done(res mvcc.Result) {
	if res.Err != nil {
		w.fail(res.Err)
		return
	}
	a, err := w.render(res)
	if err != nil {
		w.fail(err)
		return
	}
	if res.Duplicate {
		if a.header == nil {
			a.header = nats.Header{}
		}
		a.header[api.HeaderDuplicate] = []string{"true"}
	}
	w.reply(a)
}

// readRequest is a request that is served from a published state.
type readRequest struct {
	*request
	// serve makes the answer from the state.
	serve func(*mvcc.Published) (answer, error)
}

func (r *readRequest) run(p *mvcc.Published) {
	a, err := r.serve(p)
	if err != nil {
		r.fail(err)
		return
	}
	r.reply(a)
}
