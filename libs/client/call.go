package client

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Call sends a message of the contract to one of its subjects, as protobuf, with
// the same repetition as every other call. It is for programs that speak in
// messages themselves, such as gateways; resp is replaced by the answer.
func (c *Client) Call(ctx context.Context, subject string, req, resp proto.Message) error {
	_, err := c.call(ctx, subject, "", req, resp)
	return err
}

// call is Call with the id of a write, if the caller has one, and with the
// answer's headers.
func (c *Client) call(ctx context.Context, subject, msgID string, req, resp proto.Message) (nats.Header, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, api.Errorf(api.KindBadRequest, "%s: %v", subject, err)
	}
	r := request{subject: subject, body: body, write: writes(req), slow: slow(req), wait: waits(req)}
	r.header = nats.Header{api.HeaderContentType: {api.ContentProtobuf}}
	if msgID != "" {
		r.header.Set(api.HeaderMsgID, msgID)
	}
	reply, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(reply.Data, resp); err != nil {
		return nil, api.Errorf(api.KindInternal, "%s: the answer is no %T: %v", subject, resp, err)
	}
	return reply.Header, nil
}

// writes tells whether a request may change the store.
func writes(req proto.Message) bool {
	switch req := req.(type) {
	case *kvpb.PutRequest, *kvpb.DeleteRangeRequest, *kvpb.CompactRequest,
		*kvpb.LeaseGrantRequest, *kvpb.LeaseRevokeRequest, *kvpb.LockRequest, *kvpb.UnlockRequest, *kvpb.ProclaimRequest:
		return true
	case *kvpb.TxnRequest:
		return anyWrites(req.GetSuccess()) || anyWrites(req.GetFailure())
	}
	return false
}

func anyWrites(ops []*kvpb.RequestOp) bool {
	for _, op := range ops {
		switch op := op.GetRequest().(type) {
		case *kvpb.RequestOp_Put, *kvpb.RequestOp_DeleteRange:
			return true
		case *kvpb.RequestOp_Txn:
			if writes(op.Txn) {
				return true
			}
		}
	}
	return false
}

// waits is how long the server may keep a request before it answers.
func waits(req proto.Message) time.Duration {
	switch req := req.(type) {
	case *kvpb.LockRequest:
		return millis(req.GetWaitMillis())
	case *kvpb.LeaderRequest:
		return millis(req.GetWaitMillis())
	}
	return 0
}

// slow tells whether a request's answer may take long.
func slow(req proto.Message) bool {
	switch req := req.(type) {
	case *kvpb.RangeRequest:
		return len(req.GetRangeEnd()) > 0
	case *kvpb.TxnRequest, *kvpb.LeaseGrantRequest, *kvpb.LeaseRevokeRequest, *kvpb.LeaseKeepAliveRequest, *kvpb.LeaseInfoRequest,
		*kvpb.LockRequest, *kvpb.UnlockRequest, *kvpb.ProclaimRequest, *kvpb.LeaderRequest:
		return false
	}
	return true
}
