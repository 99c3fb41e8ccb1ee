package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

func electCommand() *command {
	fs := flagSet()
	ttl := fs.Duration("ttl", client.DefaultSessionTTL, "how long the leadership lasts after this process died")
	follow := fs.Bool("follow", false, "without VALUE: print every new leader and value, until it is interrupted")
	return &command{
		name: "elect", args: "NAME [VALUE]", summary: "lead, or tell who leads", least: 1, most: 2, flags: fs,
		details: "With VALUE: waits until this process leads the election NAME, such as /leader, prints its fence, and leads until it is\n" +
			"interrupted, which is exit code 0, or loses the leadership, which is 1.\n" +
			"Without: prints the leader's fence and value; exit code 3 if nobody leads.",
		run: func(ctx context.Context, s *session, args []string) error {
			switch {
			case len(args) == 2 && *follow:
				return usagef("--follow is for elect without VALUE")
			case len(args) == 2:
				return s.lead(ctx, args[0], []byte(args[1]), *ttl)
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			if *follow {
				return s.observe(ctx, c, args[0])
			}
			l, err := c.Leader(ctx, args[0])
			if err != nil {
				return err
			}
			if err := s.printLeader(l); err != nil {
				return err
			}
			if l.Fence == 0 {
				return errNo
			}
			return nil
		},
	}
}

// lead leads until ctx ends or the leadership does.
func (s *session) lead(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	return s.withSession(ctx, ttl, func(held *client.Session) error {
		e := client.NewElection(held, name)
		fence, err := e.Campaign(ctx, value)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil // interrupted, as it is meant to be
		case err != nil:
			return err
		}
		own := &kvpb.KeyValue{Key: []byte(e.Key()), Value: value, CreateRevision: fence, ModRevision: fence, Lease: held.Lease()}
		if err := s.print(own, fmt.Sprint(fence)); err != nil {
			return err
		}
		select {
		case <-e.Done():
			return fmt.Errorf("the leadership is lost: %v", e.Err())
		case <-ctx.Done():
		}
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
		defer cancel()
		_ = e.Resign(release) // closing the session does it otherwise
		return nil
	})
}

func (s *session) observe(ctx context.Context, c *client.Client, name string) error {
	for l, err := range c.Observe(ctx, name) {
		if errors.Is(err, context.Canceled) {
			return nil // interrupted, as it is meant to be
		}
		if err != nil {
			return err
		}
		if err := s.printLeader(l); err != nil {
			return err
		}
	}
	return nil
}

// printLeader prints a leader on a line; nobody has the fence 0.
func (s *session) printLeader(l client.Leader) error {
	m := &kvpb.KeyValue{Key: []byte(l.Key), Value: l.Value, CreateRevision: l.Fence, ModRevision: l.Revision, Lease: l.Lease}
	if l.Fence == 0 {
		return s.print(m, "0")
	}
	return s.print(m, fmt.Sprintf("%d %s", l.Fence, text(string(l.Value))))
}
