package watch

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// answer makes the answer to a request, from the state at this moment: what was
// published before the request arrived is in it.
func (q *requests) answer(op operation, m *nats.Msg) (nats.Header, []byte, error) {
	req, err := parseRequest(op, m)
	if err != nil {
		return nil, nil, err
	}
	s := q.r.current.Load()
	body, err := q.encode(op, s, req)
	if err != nil {
		return nil, nil, err
	}
	if !s.Speaks(q.r.current.Load(), q.r.now()) {
		return nil, nil, api.Errorf(api.KindUnavailable, "this replica of the fan-out does not publish any more: ask again")
	}
	h := nats.Header{
		api.HeaderEpoch:    {s.Epoch().String()},
		api.HeaderSequence: {strconv.FormatUint(s.Sequence(), 10)},
	}
	if req.protobuf {
		h[api.HeaderContentType] = []string{api.ContentProtobuf}
	}
	return h, body, nil
}

// encode answers with as much as fits into a message. JSON can be several times
// as large as what it says.
func (q *requests) encode(op operation, s *fanout.Snapshot, req *request) (body []byte, err error) {
	for req.bytes = fanout.HistoryBytes; req.bytes > 0; req.bytes /= 8 {
		m, err := op.answer(q, s, req)
		if err != nil {
			return nil, err
		}
		if req.protobuf {
			body, err = proto.Marshal(m)
		} else {
			body, err = kvjson.Marshal(m)
		}
		if err != nil || len(body) <= answerBytesMax {
			return body, err
		}
	}
	return nil, api.Errorf(api.KindTooLarge, "an event takes more than %d bytes in JSON: ask with %s: %s",
		answerBytesMax, api.HeaderContentType, api.ContentProtobuf)
}

// asError is the error that a client gets.
func asError(err error) *api.Error {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, nats.ErrConnectionClosed):
		return api.Errorf(api.KindUnavailable, "no node gave the history in time: %v", err)
	}
	return api.Errorf(api.KindInternal, "%v", err)
}
