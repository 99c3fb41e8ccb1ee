package client

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/kvorum/kvorum/libs/api"
)

// An attempt that stays unanswered is repeated: after quickAttempt at first for
// what is answered in milliseconds, so that a request that died with its leader
// costs a fraction of a second; then ever more patiently, up to slowAttempt.
const (
	quickAttempt = 200 * time.Millisecond
	slowAttempt  = 2 * time.Second
)

// request is one request, repeated as it is until it is answered.
type request struct {
	subject string
	header  nats.Header
	body    []byte
	// write: it carries a Nats-Msg-Id, and an attempt without an answer leaves
	// the outcome unknown.
	write bool
	// wait is how long the server may keep the request on purpose.
	wait time.Duration
	// slow: the answer may be large or take its time.
	slow bool
}

// failure is why an attempt failed.
type failure struct {
	err   *api.Error
	again bool // another attempt may succeed
	sent  bool // a write may have taken effect
	moved bool // the connection broke meanwhile
	pause time.Duration
}

// do sends r until it has a definite answer or ctx ends.
func (c *Client) do(ctx context.Context, r request) (*nats.Msg, error) {
	ctx, cancel := withDeadline(ctx, c.timeout)
	defer cancel()
	if r.header == nil {
		r.header = nats.Header{}
	}
	if r.write && r.header.Get(api.HeaderMsgID) == "" {
		r.header.Set(api.HeaderMsgID, nuid.Next())
	}
	first := quickAttempt
	if r.slow {
		first = slowAttempt
	}
	patience := first
	unknown := false
	for pause := newBackoff(); ; {
		reply, f := c.attempt(ctx, r, r.wait+patience)
		if f == nil {
			return reply, nil
		}
		unknown = unknown || f.sent
		if !f.again {
			return nil, settle(r, f.err, unknown)
		}
		switch {
		case f.moved:
			patience = first
		case f.pause == 0:
			patience = min(2*patience, slowAttempt)
		}
		if ctx.Err() != nil || f.pause > 0 && !pause.sleep(ctx, f.pause) {
			return nil, withCause(expired(r, f.err, unknown), ctx)
		}
	}
}

// settle is the error of a request that cannot be repeated any more. An answer
// of the cluster is about the request itself, whichever attempt it answered,
// but for one: a disk that is nearly full now may have had space before. The
// connection's end says nothing of earlier attempts either.
func settle(r request, err *api.Error, unknown bool) *api.Error {
	if unknown && r.write && (err.Kind == api.KindUnavailable || err.Kind == api.KindNoSpace) {
		return expired(r, err, unknown)
	}
	return err
}

// expired is the error of a request whose context ended.
func expired(r request, last *api.Error, unknown bool) *api.Error {
	switch {
	case unknown && r.write:
		return api.Errorf(api.KindTimeout,
			"no answer to %s: it may have taken effect: read what it writes before sending it anew (last attempt: %v)", r.subject, last)
	case unknown:
		return api.Errorf(api.KindTimeout, "no answer to %s (last attempt: %v)", r.subject, last)
	}
	return last
}

// attempt sends r once and waits for the answer.
func (c *Client) attempt(ctx context.Context, r request, patience time.Duration) (*nats.Msg, *failure) {
	if c.link.over() {
		return nil, c.transportFailure(r, nats.ErrConnectionClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	link := c.link.current()
	defer context.AfterFunc(link, cancel)()
	reply, err := c.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: r.subject, Header: r.header, Data: r.body})
	if err != nil {
		f := c.transportFailure(r, err)
		if f.moved = link.Err() != nil; f.sent && !f.moved {
			c.link.doubt()
		}
		return nil, f
	}
	if e := api.ParseError(reply.Header, reply.Data); e != nil {
		f := &failure{err: e, again: e.Kind.Retryable(), sent: e.Kind.Unknown(), pause: busyPause}
		if e.Kind == api.KindNoLeader || e.Kind == api.KindUnavailable {
			f.pause = noLeaderPause
		}
		return nil, f
	}
	return reply, nil
}

// transportFailure tells what an error of the NATS client means.
func (c *Client) transportFailure(r request, err error) *failure {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		e := api.Errorf(api.KindUnavailable, "nothing answers %s: check that the service runs and that this NATS account reaches it", r.subject)
		if r.write {
			e = api.Errorf(api.KindNoLeader, "no leader takes %s: wait for an election, or check that a majority of the nodes runs", r.subject)
		}
		return &failure{err: e, again: true, pause: noLeaderPause}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, nats.ErrTimeout):
		return &failure{err: api.Errorf(api.KindTimeout, "no answer to %s", r.subject), again: true, sent: true}
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrDisconnected):
		e := api.Errorf(api.KindUnavailable, "not connected to a NATS server: check that a node runs at the addresses given")
		return &failure{err: e, again: true, pause: noLeaderPause}
	case errors.Is(err, nats.ErrMaxPayload):
		return &failure{err: api.Errorf(api.KindTooLarge, "%s of %d bytes: the connection carries %d at most", r.subject, len(r.body), c.nc.MaxPayload())}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrInvalidConnection):
		return &failure{err: api.Errorf(api.KindUnavailable, "the NATS connection is closed: make a new client")}
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		return &failure{err: api.Errorf(api.KindBadRequest, "%s cannot be sent: %v", r.subject, err)}
	}
	return &failure{err: api.Errorf(api.KindTimeout, "%s: %v", r.subject, err), again: true, sent: true, pause: noLeaderPause}
}
