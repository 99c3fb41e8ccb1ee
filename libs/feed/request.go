package feed

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Ask sends one request for committed events to SubjectLeader or SubjectAny. An
// error of the node is an *api.Error; api.KindUnavailable also stands for
// "nobody is there".
func Ask(ctx context.Context, nc *nats.Conn, subject string, r *kvpb.FeedRequest) (*kvpb.FeedResponse, error) {
	answer := new(kvpb.FeedResponse)
	return answer, request(ctx, nc, subject, r, answer)
}

// AskGrant asks the leader for the grant to publish. Errors are as in Ask.
func AskGrant(ctx context.Context, nc *nats.Conn, r *kvpb.GrantRequest) (*kvpb.GrantResponse, error) {
	answer := new(kvpb.GrantResponse)
	return answer, request(ctx, nc, SubjectGrant, r, answer)
}

// Newest is the end of what is committed now, as the leader or, without one,
// some node knows, to follow from there on.
func Newest(ctx context.Context, nc *nats.Conn) (api.Position, error) {
	var after api.Position
	for range 3 {
		r := &kvpb.FeedRequest{After: Wire(after), MaxBytes: 1, WaitMillis: 1}
		answer, err := Ask(ctx, nc, SubjectLeader, r)
		if err != nil && api.KindOf(err) != api.KindCompacted {
			answer, err = Ask(ctx, nc, SubjectAny, r)
		}
		var e *api.Error
		switch {
		case err == nil:
			return End(answer.Revision), nil
		case errors.As(err, &e) && e.Kind == api.KindCompacted && e.Compacted > after.Revision:
			after = api.End(e.Compacted)
		default:
			return api.Position{}, err
		}
	}
	return api.Position{}, api.Errorf(api.KindUnavailable, "the store is compacted faster than it can be asked for its newest revision")
}

func request(ctx context.Context, nc *nats.Conn, subject string, r, answer proto.Message) error {
	body, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("%s: encode the request: %w", subject, err)
	}
	msg, err := nc.RequestWithContext(ctx, subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return api.Errorf(api.KindUnavailable, "%s: no node answers", subject)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if err := api.ParseError(msg.Header, msg.Data); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if err := proto.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("%s: the answer is malformed: %w", subject, err)
	}
	return nil
}

// End is the position up to which a store at a revision has everything: the end
// of the revision, or the very beginning where there is none yet.
func End(revision int64) api.Position {
	if revision == 0 {
		return api.Position{}
	}
	return api.End(revision)
}

// Wire is the message form of a position.
func Wire(p api.Position) *kvpb.Position {
	return &kvpb.Position{Revision: p.Revision, Sub: p.Sub}
}

// Position is the inverse of Wire; nil is the zero position.
func Position(p *kvpb.Position) api.Position {
	return api.Position{Revision: p.GetRevision(), Sub: min(p.GetSub(), math.MaxInt32)}
}
