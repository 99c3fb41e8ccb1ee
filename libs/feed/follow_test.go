package feed_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/feed"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// script answers the requests on a subject one after the other; the last answer
// stays. An answer is a *kvpb.FeedResponse, an *api.Error, or nil for none.
func script(t *testing.T, nc *nats.Conn, subject string, answers ...any) {
	t.Helper()
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		a := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		switch a := a.(type) {
		case *kvpb.FeedResponse:
			body, err := proto.Marshal(a)
			if err != nil {
				t.Error(err)
			}
			_ = m.Respond(body)
		case *api.Error:
			_ = m.RespondMsg(&nats.Msg{Header: a.Header(), Data: a.Body()})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T) *nats.Conn {
	t.Helper()
	bus, err := natsbus.StartClient(natsbus.ClientConfig{Name: "node-1", RouteListen: "127.0.0.1:0", ClusterName: "test", Secret: "secret-of-the-tests"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	nc, err := bus.Internal()
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// page has an event at each position; through is the last one's.
func page(at ...api.Position) *kvpb.FeedResponse {
	p := &kvpb.FeedResponse{Node: "node-1"}
	for _, at := range at {
		p.Events = append(p.Events, &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte("/a"), ModRevision: at.Revision}, Sub: at.Sub})
		p.Through = feed.Wire(at)
	}
	return p
}

func at(revision, sub int64) api.Position { return api.Position{Revision: revision, Sub: sub} }

var errEnough = errors.New("enough")

func TestFollow(t *testing.T) {
	unavailable := api.Errorf(api.KindUnavailable, "starting")
	compacted := &api.Error{Kind: api.KindCompacted, Message: "gone", Compacted: 9}
	lying := page(at(3, 0))
	lying.Through = feed.Wire(at(2, 0))
	for name, c := range map[string]struct {
		leader, any []any // none: nobody subscribes
		want        []api.Position
		err         error
	}{
		"leader":                {leader: []any{page(at(2, 0), at(2, 1)), page(at(3, 0))}, want: []api.Position{at(2, 0), at(2, 1), at(3, 0)}},
		"no leader":             {any: []any{page(at(2, 0)), page(at(3, 0))}, want: []api.Position{at(2, 0), at(3, 0)}},
		"leader starts":         {leader: []any{unavailable, page(at(3, 0))}, any: []any{page(at(2, 0))}, want: []api.Position{at(2, 0), at(3, 0)}},
		"leader hangs":          {leader: []any{nil, page(at(3, 0))}, any: []any{page(at(2, 0))}, want: []api.Position{at(2, 0), at(3, 0)}},
		"all start":             {leader: []any{unavailable, unavailable, page(at(3, 0))}, any: []any{unavailable}, want: []api.Position{at(3, 0)}},
		"node lags":             {leader: []any{page(at(2, 0)), &kvpb.FeedResponse{Through: feed.Wire(at(1, 0))}, page(at(3, 0))}, want: []api.Position{at(2, 0), at(3, 0)}},
		"compacted":             {leader: []any{page(at(2, 0)), compacted}, want: []api.Position{at(2, 0)}, err: &api.Error{Kind: api.KindCompacted}},
		"repeats":               {leader: []any{page(at(2, 0)), page(at(2, 0), at(3, 0))}, want: []api.Position{at(2, 0)}, err: feed.ErrDiscontinuous},
		"before the start":      {leader: []any{page(at(1, 0))}, err: feed.ErrDiscontinuous},
		"out of order":          {leader: []any{page(at(3, 0), at(2, 0))}, err: feed.ErrDiscontinuous},
		"through before events": {leader: []any{lying}, err: feed.ErrDiscontinuous},
	} {
		t.Run(name, func(t *testing.T) {
			nc := connect(t)
			if c.leader != nil {
				script(t, nc, feed.SubjectLeader, c.leader...)
			}
			if c.any != nil {
				script(t, nc, feed.SubjectAny, c.any...)
			}
			if c.err == nil {
				c.err = errEnough
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var got []api.Position
			through := at(1, 5)
			err := feed.NewFollower(nc, through, nil).Follow(ctx, func(p *kvpb.FeedResponse) error {
				for _, e := range p.Events {
					got = append(got, at(e.Kv.ModRevision, e.Sub))
				}
				if now := feed.Position(p.Through); through.After(now) {
					t.Errorf("through goes back from %v to %v", through, now)
				} else {
					through = now
				}
				if c.err == errEnough && len(got) >= len(c.want) {
					return errEnough
				}
				return nil
			})
			if !errors.Is(err, c.err) {
				t.Errorf("ends with %v, want %v", err, c.err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("gives %v, want %v", got, c.want)
			}
		})
	}
}

// Another leader is asked at once, and nobody waits for the one before.
func TestAgain(t *testing.T) {
	nc := connect(t)
	f := feed.NewFollower(nc, at(1, 5), nil)
	script(t, nc, feed.SubjectLeader, nil, page(at(2, 0)))
	if _, err := nc.Subscribe(feed.SubjectLeader, func(*nats.Msg) { f.Again() }); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(feed.SubjectAny, func(*nats.Msg) { t.Error("any node was asked") }); err != nil {
		t.Fatal(err)
	}
	err := f.Follow(t.Context(), func(p *kvpb.FeedResponse) error {
		if len(p.Events) != 1 {
			t.Errorf("gives %v", p)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("ends with %v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	nc := connect(t) // nobody answers
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := feed.NewFollower(nc, api.Position{}, nil).Follow(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ends with %v", err)
	}
}

func TestNewest(t *testing.T) {
	for name, c := range map[string]struct {
		leader []any
		want   api.Position
	}{
		"empty":     {[]any{&kvpb.FeedResponse{}}, api.Position{}},
		"some":      {[]any{&kvpb.FeedResponse{Revision: 7}}, api.End(7)},
		"compacted": {[]any{&api.Error{Kind: api.KindCompacted, Message: "gone", Compacted: 5}, &kvpb.FeedResponse{Revision: 7}}, api.End(7)},
	} {
		t.Run(name, func(t *testing.T) {
			nc := connect(t)
			script(t, nc, feed.SubjectLeader, c.leader...)
			if got, err := feed.Newest(t.Context(), nc); err != nil || got != c.want {
				t.Errorf("newest is %v, %v; want %v", got, err, c.want)
			}
		})
	}
}
