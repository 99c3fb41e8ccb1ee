package client

import (
	"context"
	"iter"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Leader is who leads an election, and what it says of itself.
type Leader struct {
	Key      string // that holds the name
	Value    []byte
	Fence    int64 // the revision at which it was elected; 0: there is no leader
	Lease    int64
	Revision int64 // of Value
}

// Leader tells who leads, of all that campaign for a name; the zero Leader if
// nobody does.
func (c *Client) Leader(ctx context.Context, name string) (Leader, error) {
	return c.leader(ctx, api.SubjectLeader, &kvpb.LeaderRequest{Name: []byte(name)})
}

// Observe iterates over the leaders of a name, beginning with who leads now, as
// they change and proclaim values, until ctx ends, which is the last step's
// error. Nobody is the zero Leader. A leader or value that is followed at once
// by another may be left out.
func (c *Client) Observe(ctx context.Context, name string) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		last, err := c.Leader(ctx, name)
		for {
			if !yield(last, err) || err != nil {
				return
			}
			last, err = c.next(ctx, name, last.Revision)
		}
	}
}

// next waits for another leader or value than that of a revision, for as long as
// ctx lives.
func (c *Client) next(ctx context.Context, name string, revision int64) (Leader, error) {
	req := &kvpb.LeaderRequest{Name: []byte(name), After: revision, WaitMillis: longestWait.Milliseconds()}
	for {
		attempt, cancel := context.WithTimeout(ctx, longestWait+c.timeout)
		l, err := c.leader(attempt, api.SubjectObserve, req)
		cancel()
		switch {
		case err == nil && l.Revision != revision:
			return l, nil
		case err != nil && (!api.KindOf(err).Retryable() || ctx.Err() != nil || c.link.over()):
			return Leader{}, err
		}
	}
}

func (c *Client) leader(ctx context.Context, subject string, req *kvpb.LeaderRequest) (Leader, error) {
	var resp kvpb.LeaderResponse
	err := c.Call(ctx, subject, req, &resp)
	kv := resp.GetLeader()
	return Leader{Key: string(kv.GetKey()), Value: kv.GetValue(), Fence: kv.GetCreateRevision(), Lease: kv.GetLease(), Revision: kv.GetModRevision()}, err
}

// Election is the campaign of one session for the leadership of a name.
type Election struct{ seat }

// NewElection is the election of that name, for a session.
func NewElection(s *Session, name string) *Election { return &Election{seat{s: s, name: name}} }

// Campaign waits until the session leads, as long as ctx and the session live,
// and returns the fence. value is what observers see. If it fails, the place in
// the queue is given up, in the background if need be.
func (e *Election) Campaign(ctx context.Context, value []byte) (fence int64, err error) {
	return e.take(ctx, value)
}

// Proclaim changes the leader's value. ErrNotHeld if the session does not lead,
// or no longer.
func (e *Election) Proclaim(ctx context.Context, value []byte) error {
	if err := e.Err(); err != nil {
		return err
	}
	req := &kvpb.ProclaimRequest{Name: []byte(e.name), Lease: e.s.lease, Fence: e.Fence(), Value: value}
	return e.s.client.Call(ctx, api.SubjectProclaim, req, &kvpb.ProclaimResponse{})
}

// Leader is Client.Leader.
func (e *Election) Leader(ctx context.Context) (Leader, error) { return e.s.client.Leader(ctx, e.name) }

// Observe is Client.Observe.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return e.s.client.Observe(ctx, e.name)
}

// Resign gives the leadership to the next in line, as Mutex.Unlock does a lock.
func (e *Election) Resign(ctx context.Context) error { return e.giveUp(ctx) }
