package client

import (
	"context"

	"github.com/kvorum/kvorum/libs/api"
)

// RunWhileLeader runs fn while this process leads the election of a name, and
// not otherwise: of all processes that call it one at a time is in fn. value is
// what observers see of it.
//
// fn gets the fence, for LockHeld, and a context that ends when the leadership
// is lost or ctx ends; it should return soon then. The leadership is over before
// fn's last writes are, if it does not return at once: compare the fence.
//
// What fn returns decides. nil: the work is done, and RunWhileLeader returns nil.
// ErrNotHeld, or any error after the leadership was lost: it campaigns again,
// with a new session. Another error: it resigns and returns that. Else it goes on
// until ctx ends or something fails that no repetition mends.
func (c *Client) RunWhileLeader(ctx context.Context, name string, value []byte, fn func(ctx context.Context, fence int64) error, opts ...SessionOption) error {
	for pause := newBackoff(); ; {
		again, err := c.leadOnce(ctx, name, value, fn, opts)
		if !again || ctx.Err() != nil || !pause.sleep(ctx, busyPause) {
			return err
		}
	}
}

// leadOnce is one session's campaign. again: another may do better.
func (c *Client) leadOnce(ctx context.Context, name string, value []byte, fn func(context.Context, int64) error, opts []SessionOption) (again bool, err error) {
	s, err := c.NewSession(ctx, opts...)
	if err != nil {
		return api.KindOf(err).Retryable(), err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		_ = s.Close(ctx) // the lease runs out otherwise
	}()
	e := NewElection(s, name)
	fence, err := e.Campaign(ctx, value)
	if err != nil {
		kind := api.KindOf(err)
		return kind.Retryable() || kind == api.KindLeaseNotFound || kind == api.KindNotHeld, err
	}
	leading, cancel := e.Context(ctx)
	defer cancel()
	err = fn(leading, fence)
	return err != nil && (e.Err() != nil || api.KindOf(err) == api.KindNotHeld), err
}
