package client

import (
	"context"
	"time"

	"github.com/nats-io/nuid"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// A request for a name waits as long as the lease would live without renewal,
// within these bounds: when the leader dies with it, about so much time passes
// before it is repeated, and each repetition costs an entry in the log.
const (
	shortestWait = time.Second
	longestWait  = 4 * time.Second
)

// errGivenUp ends a hold whose user gave it up.
var errGivenUp = api.Errorf(api.KindNotHeld, "it was given up")

// place is a session's place in the queue for a name, from before it is asked
// for until it is certain that it is left. There is one for a name at a time, so
// that a key in the queue with the session's lease is this place's.
type place struct {
	s     *Session
	name  string
	id    string // under which it is asked for, once
	value []byte
	fence int64 // 0 until an answer told it

	leaving bool          // guarded by s.mu
	left    chan struct{} // closed when it is left, with err
	err     error
}

// reserve makes the place for a name. It waits for one that is being left.
func (s *Session) reserve(ctx context.Context, name string, value []byte) (*place, error) {
	for {
		if err := s.Err(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		old := s.places[name]
		if old == nil {
			p := &place{s: s, name: name, id: nuid.Next(), value: value, left: make(chan struct{})}
			s.places[name] = p
			s.mu.Unlock()
			return p, nil
		}
		leaving := old.leaving
		s.mu.Unlock()
		if !leaving {
			return nil, api.Errorf(api.KindAlreadyHeld, "this session holds or awaits %q already", name)
		}
		select {
		case <-old.left:
		case <-s.Done():
		case <-ctx.Done():
			return nil, withCause(api.Errorf(api.KindTimeout, "the session is still leaving the queue for %q", name), ctx)
		}
	}
}

// gone: the place is not in the queue any more. The first word counts.
func (p *place) gone(err error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.places[p.name] == p {
		delete(p.s.places, p.name)
		p.err = err
		close(p.left)
	}
}

// enter takes a place in the queue for a name and waits until it is the first.
func (s *Session) enter(ctx context.Context, name string, value []byte) (*hold, error) {
	p, err := s.reserve(ctx, name, value)
	if err != nil {
		return nil, err
	}
	both, cancel := s.Context(ctx)
	defer cancel()
	err = p.await(both)
	if lost := s.Err(); lost != nil {
		p.gone(lost)
		return nil, lost
	}
	if err != nil {
		if kind := api.KindOf(err); p.fence == 0 && !kind.Retryable() && !kind.Unknown() {
			p.gone(err) // it was never in
		} else {
			p.leave()
		}
		return nil, err
	}
	return newHold(p), nil
}

// await asks until the place is the first of its queue.
func (p *place) await(ctx context.Context) error {
	for {
		resp, err := p.campaign(ctx, min(max(p.s.ttl, shortestWait), longestWait))
		switch kind := api.KindOf(err); {
		case err == nil && resp.GetHeld():
			p.fence = resp.GetFence()
			return nil
		case err == nil:
			p.fence = resp.GetFence()
		case kind == api.KindAlreadyHeld:
			// The store has forgotten the id, and not the place.
			p.fence = modRevision(err)
			return p.observe(ctx)
		case kind == api.KindLeaseNotFound:
			p.s.cancel(err)
			return err
		case kind.Retryable() && ctx.Err() == nil && !p.s.client.link.over():
		default:
			return err
		}
	}
}

// campaign sends the request for the place. However often it is sent, there is
// one place.
func (p *place) campaign(ctx context.Context, wait time.Duration) (*kvpb.LockResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+p.s.client.timeout)
	defer cancel()
	var resp kvpb.LockResponse
	req := &kvpb.LockRequest{Name: []byte(p.name), Lease: p.s.lease, WaitMillis: wait.Milliseconds(), Value: p.value}
	_, err := p.s.client.call(ctx, api.SubjectCampaign, p.id, req, &resp)
	return &resp, err
}

// observe waits until the place is the first, without asking for it.
func (p *place) observe(ctx context.Context) error {
	c, own := p.s.client, Key(contender(p.name, p.s.lease))
	for last := (Leader{}); ; {
		now, err := c.Range(ctx, own)
		switch {
		case err != nil:
			return err
		case len(now.KVs) == 0 || now.KVs[0].CreateRevision != p.fence:
			return api.Errorf(api.KindNotHeld, "the place in the queue for %q was deleted", p.name)
		}
		if last, err = c.next(ctx, p.name, last.Revision); err != nil {
			return err
		}
		if last.Fence == p.fence {
			return nil
		}
	}
}

// leave sees to it that the place is in the queue no more, beside the session.
func (p *place) leave() {
	p.s.mu.Lock()
	again := p.leaving
	p.leaving = true
	p.s.mu.Unlock()
	if again {
		return
	}
	if !p.s.task(func() { p.gone(p.resign(p.s.ctx)) }) {
		p.gone(p.s.Err())
	}
}

// resign leaves the queue. A request for the place whose outcome is unknown may
// still be on its way: it is asked first where that led to.
func (p *place) resign(ctx context.Context) error {
	for pause := newBackoff(); ; {
		var err error
		if p.fence == 0 {
			var resp *kvpb.LockResponse
			resp, err = p.campaign(ctx, 0)
			p.fence = resp.GetFence()
			if api.KindOf(err) == api.KindAlreadyHeld {
				p.fence = modRevision(err)
			}
		}
		if p.fence != 0 {
			req := &kvpb.UnlockRequest{Name: []byte(p.name), Lease: p.s.lease, Fence: p.fence}
			err = p.s.client.Call(ctx, api.SubjectResign, req, &kvpb.UnlockResponse{})
		}
		kind := api.KindOf(err)
		if !kind.Retryable() && !kind.Unknown() || err == nil {
			return err
		}
		if !pause.sleep(ctx, busyPause) {
			return context.Cause(ctx)
		}
	}
}
