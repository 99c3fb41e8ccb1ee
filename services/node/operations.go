package node

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
)

// call is a parsed request: a command for the log, a read, or something that
// the leader answers from its memory.
type call struct {
	command *command.Command
	data    []byte // command as it goes into the log
	render  func(mvcc.Result) (answer, error)

	read         func(*mvcc.Published) (answer, error)
	serializable bool
	minRevision  int64

	// lead takes the request on the consensus goroutine of a node that serves.
	lead func(*consensus, *request)
	wait time.Duration // how long it may take beyond requestTimeout
	// grows: it may make the store larger for good.
	grows bool
}

// operation is one subject of the contract.
type operation struct {
	name     string
	subjects []string
	// leader: requests go to the leader.
	leader bool
	parse  func(*nats.Msg) (*call, error)
}

// operations are those that a node answers from its state or its log.
func operations() []operation {
	return []operation{
		{"get", []string{api.SubjectGet + ">"}, false, parseGet},
		{"list", []string{api.SubjectList, api.SubjectList + ".>"}, false, parseList},
		{"range", []string{api.SubjectRange}, false, parseRange},
		{"put", []string{api.SubjectPut + ">"}, true, parsePut},
		{"delete", []string{api.SubjectDelete + ">"}, true, parseDelete},
		{"delete-range", []string{api.SubjectDeleteRange}, true, parseDeleteRange},
		{"txn", []string{api.SubjectTxn}, true, parseTxn},
		{"compact", []string{api.SubjectCompact}, true, parseCompact},
		{"lease-grant", []string{api.SubjectLeaseGrant}, true, parseLeaseGrant},
		{"lease-revoke", []string{api.SubjectLeaseRevoke}, true, parseLeaseRevoke},
		{"lease-keepalive", []string{api.SubjectLeaseKeepAlive}, true, parseLeaseKeepAlive},
		{"lease-info", []string{api.SubjectLeaseInfo}, true, parseLeaseInfo},
		{"lease-list", []string{api.SubjectLeaseList}, false, parseLeaseList},
		{"lock", []string{api.SubjectLock + ">"}, true, parseLock},
		{"unlock", []string{api.SubjectUnlock + ">"}, true, parseUnlock},
		{"campaign", []string{api.SubjectCampaign}, true, parseCampaign},
		{"proclaim", []string{api.SubjectProclaim}, true, parseProclaim},
		{"leader", []string{api.SubjectLeader}, false, parseLeader},
		{"observe", []string{api.SubjectObserve}, true, parseObserve},
		{"resign", []string{api.SubjectResign}, true, parseResign},
	}
}

func parseGet(m *nats.Msg) (*call, error) {
	key, err := subject.Decode(m.Subject[len(api.SubjectGet):])
	if err != nil {
		return nil, err
	}
	h, err := parseHeaders(m.Header, api.HeaderAtRevision, api.HeaderConsistency, api.HeaderMinRevision)
	if err != nil {
		return nil, err
	}
	if len(m.Data) > 0 {
		return nil, api.Errorf(api.KindBadRequest, "a get has no body: the key is in the subject, options are headers")
	}
	req := &kvpb.RangeRequest{Key: key}
	return readCall(h, req, func(resp *kvpb.RangeResponse) (answer, error) {
		if len(resp.Kvs) == 0 {
			e := api.Errorf(api.KindNotFound, "the key %q does not exist", key)
			e.Revision = resp.Revision
			return answer{}, e
		}
		kv := resp.Kvs[0]
		return answer{keyHeader(kv, resp.Revision), kv.Value}, nil
	})
}

// readCall completes a range with the options that every read takes as headers.
func readCall(h headers, req *kvpb.RangeRequest, render func(*kvpb.RangeResponse) (answer, error)) (c *call, err error) {
	c = &call{read: func(p *mvcc.Published) (answer, error) {
		resp, err := p.Range(req)
		if err != nil {
			return answer{}, err
		}
		return render(resp)
	}}
	if rev, ok, err := h.revision(api.HeaderAtRevision); err != nil {
		return nil, err
	} else if ok {
		req.Revision = rev
	}
	if c.serializable, err = h.serializable(); err != nil {
		return nil, err
	}
	c.serializable = c.serializable || req.Serializable
	rev, ok, err := h.revision(api.HeaderMinRevision)
	if err != nil {
		return nil, err
	}
	if c.minRevision = rev; !ok {
		c.minRevision = req.MinRevision
	}
	if c.minRevision != 0 && !c.serializable {
		return nil, api.Errorf(api.KindBadRequest, "%s is for serializable reads: a linearizable read is at least as fresh", api.HeaderMinRevision)
	}
	return c, mvcc.CheckRange(req)
}

// keyHeader tells of a key as it is.
func keyHeader(kv *kvpb.KeyValue, revision int64) nats.Header {
	h := nats.Header{
		api.HeaderRevision:       {number(revision)},
		api.HeaderCreateRevision: {number(kv.CreateRevision)},
		api.HeaderModRevision:    {number(kv.ModRevision)},
		api.HeaderVersion:        {number(kv.Version)},
	}
	if kv.Lease != 0 {
		h[api.HeaderLease] = []string{fmt.Sprintf("%016x", uint64(kv.Lease))}
	}
	if kv.TtlMillis != 0 {
		h[api.HeaderTTL] = []string{(time.Duration(kv.TtlMillis) * time.Millisecond).String()}
	}
	return h
}

func parseList(m *nats.Msg) (*call, error) {
	prefix := ""
	if len(m.Subject) > len(api.SubjectList) {
		prefix = m.Subject[len(api.SubjectList)+1:]
	}
	key, end, err := subject.DecodePrefix(prefix)
	if err != nil {
		return nil, err
	}
	h, err := parseHeaders(m.Header, api.HeaderAtRevision, api.HeaderConsistency, api.HeaderMinRevision)
	if err != nil {
		return nil, err
	}
	if f, err := h.form(); err != nil {
		return nil, err
	} else if f != formJSON {
		return nil, api.Errorf(api.KindBadRequest, "a list is JSON only: %s takes protobuf", api.SubjectRange)
	}
	req, err := kvjson.ParseList(m.Data, key, end)
	if err != nil {
		return nil, err
	}
	return readCall(h, req, func(resp *kvpb.RangeResponse) (answer, error) {
		body, err := kvjson.ListAnswer(req, resp)
		return answer{nats.Header{api.HeaderRevision: {number(resp.Revision)}}, body}, err
	})
}

func parseRange(m *nats.Msg) (*call, error) {
	h, f, err := bodyHeaders(m, api.HeaderAtRevision, api.HeaderConsistency, api.HeaderMinRevision)
	if err != nil {
		return nil, err
	}
	req := &kvpb.RangeRequest{}
	if err := f.unmarshal(m.Data, req); err != nil {
		return nil, err
	}
	return readCall(h, req, func(resp *kvpb.RangeResponse) (answer, error) {
		return f.answer(resp, resp.Revision)
	})
}

// bodyHeaders reads the headers of a request whose body is a message.
func bodyHeaders(m *nats.Msg, known ...string) (headers, form, error) {
	h, err := parseHeaders(m.Header, known...)
	if err != nil {
		return nil, 0, err
	}
	f, err := h.form()
	return h, f, err
}
