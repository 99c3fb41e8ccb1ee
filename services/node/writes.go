package node

import (
	"crypto/sha256"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

func parsePut(m *nats.Msg) (*call, error) {
	key, err := subject.Decode(m.Subject[len(api.SubjectPut):])
	if err != nil {
		return nil, err
	}
	h, err := parseHeaders(m.Header, api.HeaderIfRevision, api.HeaderPrev, api.HeaderLease, api.HeaderTTL)
	if err != nil {
		return nil, err
	}
	req := &kvpb.PutRequest{Key: key, Value: m.Data}
	if req.PrevKv, err = h.flag(api.HeaderPrev); err != nil {
		return nil, err
	}
	if req.Lease, err = h.lease(); err != nil {
		return nil, err
	}
	if req.TtlMillis, err = h.ttl(); err != nil {
		return nil, err
	}
	c := &command.Command{Op: &command.Command_Put{Put: req}}
	return writeCall(h, c, func(res mvcc.Result) (answer, error) {
		resp := res.Response.(*kvpb.PutResponse)
		a := answer{header: nats.Header{api.HeaderRevision: {number(resp.Revision)}}}
		if resp.Kv != nil {
			a.header = keyHeader(resp.Kv, resp.Revision)
		}
		a.body = resp.GetPrevKv().GetValue()
		return a, nil
	})
}

func parseDelete(m *nats.Msg) (*call, error) {
	key, err := subject.Decode(m.Subject[len(api.SubjectDelete):])
	if err != nil {
		return nil, err
	}
	h, err := parseHeaders(m.Header, api.HeaderIfRevision, api.HeaderPrev)
	if err != nil {
		return nil, err
	}
	if len(m.Data) > 0 {
		return nil, api.Errorf(api.KindBadRequest, "a delete has no body: the key is in the subject, options are headers")
	}
	req := &kvpb.DeleteRangeRequest{Key: key}
	if req.PrevKv, err = h.flag(api.HeaderPrev); err != nil {
		return nil, err
	}
	c := &command.Command{Op: &command.Command_DeleteRange{DeleteRange: req}}
	return writeCall(h, c, func(res mvcc.Result) (answer, error) {
		resp := res.Response.(*kvpb.DeleteRangeResponse)
		a := answer{header: nats.Header{
			api.HeaderRevision: {number(resp.Revision)},
			api.HeaderDeleted:  {number(resp.Deleted)},
		}}
		if len(resp.PrevKvs) > 0 {
			a.body = resp.PrevKvs[0].Value
		}
		return a, nil
	})
}

func parseDeleteRange(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.DeleteRangeRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	return writeCall(h, &command.Command{Op: &command.Command_DeleteRange{DeleteRange: req}}, f.render)
}

func parseCompact(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.CompactRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	return writeCall(h, &command.Command{Op: &command.Command_Compact{Compact: req}}, f.render)
}

func parseTxn(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m)
	if err != nil {
		return nil, err
	}
	req := &kvpb.TxnRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	c, err := writeCall(h, &command.Command{Op: &command.Command_Txn{Txn: req}}, f.render)
	if err != nil || !mvcc.ReadOnly(req) {
		return c, err
	}
	// Nothing to write: no entry, a linearizable read is enough.
	return &call{read: func(p *mvcc.Published) (answer, error) {
		resp, err := p.Txn(req)
		if err != nil {
			return answer{}, err
		}
		return f.answer(resp, resp.Revision)
	}}, nil
}

// render answers with a command's response in the form of its request.
func (f form) render(res mvcc.Result) (answer, error) {
	return f.answer(res.Response, res.Revision)
}

// writeCall completes a command with the options that every write takes and
// refuses what can be refused without the state.
func writeCall(h headers, c *command.Command, render func(mvcc.Result) (answer, error)) (*call, error) {
	rev, present, err := h.revision(api.HeaderIfRevision)
	if err != nil {
		return nil, err
	}
	if present {
		c.IfRevision = &rev
	}
	id, err := h.msgID()
	if err != nil {
		return nil, err
	}
	data, err := encode(c, id)
	return &call{command: c, data: data, render: render}, err
}

// encode checks a command, completes it with its message id, under which it takes
// effect once, and with a hash that tells requests apart which carry the same id
// by mistake, and encodes it for the log.
func encode(c *command.Command, msgID string) ([]byte, error) {
	if err := mvcc.Check(c); err != nil {
		return nil, err
	}
	data := make([]byte, 0, proto.Size(c)+len(msgID)+hashBytes+8)
	data, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(data, c)
	if err != nil || msgID == "" {
		return data, err
	}
	sum := sha256.Sum256(data)
	c.MsgId, c.RequestHash = msgID, sum[:hashBytes]
	// Fields may follow in any order, and in several parts.
	return proto.MarshalOptions{}.MarshalAppend(data, &command.Command{MsgId: msgID, RequestHash: c.RequestHash})
}

// hashBytes is how much of a request's hash is kept.
const hashBytes = 16
