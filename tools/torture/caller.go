//go:build linux

package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/client"
)

// caller sends a request and returns its answer. The error of a write tells by
// its kind whether the outcome is unknown.
type caller interface {
	call(ctx context.Context, req proto.Message, msgID string) (answer, error)
}

// answer is one that may be a repetition, which then may lack what was large.
type answer struct {
	proto.Message
	repeated bool
}

// libCaller is the Go client: it repeats a request until its context ends.
type libCaller struct{ c *client.Client }

func (l libCaller) call(ctx context.Context, req proto.Message, msgID string) (answer, error) {
	switch req := req.(type) {
	case *kvpb.PutRequest:
		opts := []client.WriteOption{client.MsgID(msgID)}
		if req.Lease != 0 {
			opts = append(opts, client.WithLease(req.Lease))
		}
		res, err := l.c.Put(ctx, string(req.Key), req.Value, opts...)
		if err != nil {
			return answer{}, err
		}
		return answer{Message: &kvpb.PutResponse{Revision: res.Revision, Kv: res.KV.Proto()}}, nil
	case *kvpb.DeleteRangeRequest:
		span := client.Key(string(req.Key))
		if len(req.RangeEnd) > 0 {
			span = client.Interval(string(req.Key), string(req.RangeEnd))
		}
		res, err := l.c.DeleteRange(ctx, span, client.MsgID(msgID))
		if err != nil {
			return answer{}, err
		}
		return answer{Message: &kvpb.DeleteRangeResponse{Revision: res.Revision, Deleted: res.Deleted}}, nil
	case *kvpb.RangeRequest:
		resp := &kvpb.RangeResponse{}
		return answer{Message: resp}, l.c.Call(ctx, api.SubjectRange, req, resp)
	case *kvpb.TxnRequest:
		resp := &kvpb.TxnResponse{}
		err := l.c.Call(ctx, api.SubjectTxn, req, resp)
		return answer{resp, resp.ResultsOmitted}, err
	case *kvpb.CompactRequest:
		resp := &kvpb.CompactResponse{}
		return answer{Message: resp}, l.c.Call(ctx, api.SubjectCompact, req, resp)
	}
	return answer{}, errors.New("no such request")
}

// rawCaller speaks the protocol itself, on one connection, and sends each
// request once: its user decides what to do about an unknown outcome.
type rawCaller struct {
	nc *nats.Conn
	// patience is how long an answer is waited for.
	patience time.Duration
}

func (r rawCaller) call(ctx context.Context, req proto.Message, msgID string) (answer, error) {
	m := &nats.Msg{Header: nats.Header{}}
	if msgID != "" {
		m.Header.Set(api.HeaderMsgID, msgID)
	}
	var resp proto.Message
	switch req := req.(type) {
	case *kvpb.PutRequest:
		return r.put(ctx, m, req)
	case *kvpb.RangeRequest:
		if len(req.RangeEnd) == 0 && !req.KeysOnly && !req.CountOnly {
			return r.get(ctx, m, req)
		}
		m.Subject, resp = api.SubjectRange, &kvpb.RangeResponse{}
	case *kvpb.DeleteRangeRequest:
		m.Subject, resp = api.SubjectDeleteRange, &kvpb.DeleteRangeResponse{}
	case *kvpb.TxnRequest:
		m.Subject, resp = api.SubjectTxn, &kvpb.TxnResponse{}
	case *kvpb.CompactRequest:
		m.Subject, resp = api.SubjectCompact, &kvpb.CompactResponse{}
	}
	m.Header.Set(api.HeaderContentType, api.ContentProtobuf)
	var err error
	if m.Data, err = proto.Marshal(req); err != nil {
		return answer{}, err
	}
	reply, err := r.send(ctx, m)
	if err != nil {
		return answer{}, err
	}
	return answer{resp, duplicate(reply)}, proto.Unmarshal(reply.Data, resp)
}

func (r rawCaller) put(ctx context.Context, m *nats.Msg, req *kvpb.PutRequest) (answer, error) {
	tokens, err := subject.Encode(req.Key)
	if err != nil {
		return answer{}, err
	}
	m.Subject, m.Data = api.SubjectPut+tokens, req.Value
	if req.Lease != 0 {
		m.Header.Set(api.HeaderLease, strconv.FormatUint(uint64(req.Lease), 16))
	}
	reply, err := r.send(ctx, m)
	if err != nil {
		return answer{}, err
	}
	rev := number(reply, api.HeaderRevision)
	kv := state(reply, req.Key)
	kv.ModRevision = rev
	return answer{&kvpb.PutResponse{Revision: rev, Kv: kv}, duplicate(reply)}, nil
}

func (r rawCaller) get(ctx context.Context, m *nats.Msg, req *kvpb.RangeRequest) (answer, error) {
	tokens, err := subject.Encode(req.Key)
	if err != nil {
		return answer{}, err
	}
	m.Subject = api.SubjectGet + tokens
	if req.Serializable {
		m.Header.Set(api.HeaderConsistency, api.ConsistencySerializable)
	}
	if req.Revision != 0 {
		m.Header.Set(api.HeaderAtRevision, strconv.FormatInt(req.Revision, 10))
	}
	reply, err := r.send(ctx, m)
	var refused *api.Error
	if errors.As(err, &refused) && refused.Kind == api.KindNotFound {
		return answer{Message: &kvpb.RangeResponse{Revision: refused.Revision}}, nil
	}
	if err != nil {
		return answer{}, err
	}
	kv := state(reply, req.Key)
	kv.Value = reply.Data
	return answer{Message: &kvpb.RangeResponse{Revision: number(reply, api.HeaderRevision), Count: 1, Kvs: []*kvpb.KeyValue{kv}}}, nil
}

// send is one attempt. An answer that is an error is returned as one; without an
// answer the error is of the kind that says what is known of the outcome.
func (r rawCaller) send(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	reply, err := r.nc.RequestMsgWithContext(ctx, m)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, api.Errorf(api.KindNoLeader, "nobody takes %s", m.Subject)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrDisconnected):
		return nil, api.Errorf(api.KindUnavailable, "not connected")
	case err != nil:
		return nil, api.Errorf(api.KindTimeout, "%s: %v", m.Subject, err)
	}
	if refused := api.ParseError(reply.Header, reply.Data); refused != nil {
		return nil, refused
	}
	return reply, nil
}

func duplicate(m *nats.Msg) bool { return m.Header.Get(api.HeaderDuplicate) == "true" }

// state is a key's as the headers tell it.
func state(m *nats.Msg, key []byte) *kvpb.KeyValue {
	lease, _ := strconv.ParseUint(m.Header.Get(api.HeaderLease), 16, 64) // as in number
	return &kvpb.KeyValue{
		Key: key, ModRevision: number(m, api.HeaderModRevision), Lease: int64(lease),
		CreateRevision: number(m, api.HeaderCreateRevision), Version: number(m, api.HeaderVersion),
	}
}

// number is a decimal header, 0 where it is absent.
func number(m *nats.Msg, name string) int64 {
	n, _ := strconv.ParseInt(m.Header.Get(name), 10, 64) // 0 shows in the judgement
	return n
}
