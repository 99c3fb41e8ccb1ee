package mvcc

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

// model is the state machine as naively as it can be: the whole state of every
// revision, and no storage. It knows nothing of bounds on bytes.
type model struct {
	states    []state         // of each revision, from 0
	events    [][]*kvpb.Event // of each revision, with prev_kv
	compacted int64
	window    []remembered
	ids       int // how many are remembered
	leases    map[int64]modelLease
	leaseKeys int // how many one may have
}

// modelLease is a lease; its keys are those of the state that name it.
type modelLease struct {
	ttl     int64
	granted store.TS
}

type state map[string]*kvpb.KeyValue

type remembered struct {
	c   *command.Command
	res Result
}

func newModel(ids, leaseKeys int) *model {
	return &model{states: []state{{}, {}}, events: make([][]*kvpb.Event, 2), ids: ids, leases: map[int64]modelLease{}, leaseKeys: leaseKeys}
}

func (m *model) revision() int64 { return int64(len(m.states)) - 1 }

func (m *model) apply(c *command.Command, ts store.TS) Result {
	for _, r := range m.window {
		if c.MsgId != "" && r.c.MsgId == c.MsgId && r.c.Principal == c.Principal {
			if !bytes.Equal(r.c.RequestHash, c.RequestHash) {
				return Result{Err: &api.Error{Kind: api.KindBadRequest}, Revision: m.revision()}
			}
			r.res.Duplicate = true
			return r.res
		}
	}
	t := &modelTxn{m: m, ts: ts, now: maps.Clone(m.states[m.revision()])}
	var res Result
	if resp, err := t.command(c); err != nil {
		res.Err = err
	} else {
		if res.Response = resp; len(t.events) > 0 {
			t.events[len(t.events)-1].Last = true
			m.states, m.events = append(m.states, t.now), append(m.events, t.events)
		}
		if c := c.GetCompact(); c != nil {
			m.compacted = c.Revision
		}
	}
	res.Revision = m.revision()
	if c.MsgId != "" {
		m.window = append(m.window, remembered{c, res})
		m.window = m.window[max(0, len(m.window)-m.ids):]
	}
	return res
}

// modelTxn is one command.
type modelTxn struct {
	m      *model
	ts     store.TS
	now    state
	events []*kvpb.Event
}

func (t *modelTxn) revision() int64 {
	if len(t.events) > 0 {
		return t.m.revision() + 1
	}
	return t.m.revision()
}

func (t *modelTxn) command(c *command.Command) (proto.Message, *api.Error) {
	if c.IfRevision != nil {
		key := append(c.GetPut().GetKey(), c.GetDeleteRange().GetKey()...)
		if is := t.now[string(key)].GetModRevision(); is != *c.IfRevision {
			return nil, &api.Error{Kind: api.KindCompareFailed, ModRevision: is}
		}
	}
	switch op := c.Op.(type) {
	case *command.Command_Put:
		return t.put(op.Put)
	case *command.Command_DeleteRange:
		return t.delete(op.DeleteRange), nil
	case *command.Command_Txn:
		return t.txn(op.Txn, t.outcomes(op.Txn))
	case *command.Command_LeaseGrant:
		return t.grant(op.LeaseGrant)
	case *command.Command_LeaseRevoke:
		if _, found := t.m.leases[op.LeaseRevoke.Id]; !found {
			return nil, &api.Error{Kind: api.KindLeaseNotFound}
		}
		return t.endLease(op.LeaseRevoke.Id, false), nil
	case *command.Command_Expire:
		return t.expire(op.Expire), nil
	}
	r := c.GetCompact().Revision
	if r <= t.m.compacted {
		return nil, &api.Error{Kind: api.KindCompacted, Compacted: t.m.compacted}
	} else if r > t.m.revision() {
		return nil, &api.Error{Kind: api.KindFutureRevision}
	}
	return &kvpb.CompactResponse{Revision: t.m.revision(), Compacted: r}, nil
}

func (t *modelTxn) put(r *kvpb.PutRequest) (*kvpb.PutResponse, *api.Error) {
	old := t.now[string(r.Key)]
	rev := t.m.revision() + 1
	kv := &kvpb.KeyValue{Key: r.Key, Value: r.Value, CreateRevision: rev, ModRevision: rev, Version: 1}
	kv.Lease, kv.TtlMillis = r.Lease, r.TtlMillis
	if old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	} else if r.IgnoreValue || r.IgnoreLease {
		return nil, &api.Error{Kind: api.KindNotFound}
	}
	if r.IgnoreLease {
		kv.Lease, kv.TtlMillis = old.Lease, old.TtlMillis
	}
	if kv.Lease != 0 && kv.Lease != old.GetLease() {
		if _, found := t.m.leases[kv.Lease]; !found {
			return nil, &api.Error{Kind: api.KindLeaseNotFound}
		}
		if len(t.now.attached(kv.Lease)) == t.m.leaseKeys {
			return nil, &api.Error{Kind: api.KindTooLarge}
		}
	}
	if r.IgnoreValue {
		kv.Value = old.Value
	}
	t.now[string(r.Key)] = kv
	t.events = append(t.events, &kvpb.Event{Kv: kv, PrevKv: old, Sub: int64(len(t.events))})
	after := proto.Clone(kv).(*kvpb.KeyValue)
	after.Value = nil
	resp := &kvpb.PutResponse{Revision: rev, Kv: after}
	if r.PrevKv {
		resp.PrevKv = old
	}
	return resp, nil
}

func (s state) keys(key, end []byte) []string {
	var found []string
	for _, k := range slices.Sorted(maps.Keys(s)) {
		single := len(end) == 0 && k == string(key)
		if single || len(end) > 0 && k >= string(key) && (string(end) == "\x00" || k < string(end)) {
			found = append(found, k)
		}
	}
	return found
}

func (t *modelTxn) delete(r *kvpb.DeleteRangeRequest) *kvpb.DeleteRangeResponse {
	resp := &kvpb.DeleteRangeResponse{}
	for _, k := range t.now.keys(r.Key, r.RangeEnd) {
		old := t.remove(k, false)
		resp.Deleted++
		if r.PrevKv {
			resp.PrevKvs = append(resp.PrevKvs, old)
		}
	}
	resp.Revision = t.revision()
	return resp
}

func (t *modelTxn) remove(k string, expired bool) (old *kvpb.KeyValue) {
	old = t.now[k]
	delete(t.now, k)
	kv := &kvpb.KeyValue{Key: []byte(k), ModRevision: t.m.revision() + 1}
	t.events = append(t.events, &kvpb.Event{Type: kvpb.Event_DELETE, Kv: kv, PrevKv: old, Sub: int64(len(t.events)), Expired: expired})
	return old
}

func (t *modelTxn) outcomes(r *kvpb.TxnRequest) map[*kvpb.TxnRequest]bool {
	holds := true
	for _, c := range r.Compare {
		if c.Target == kvpb.Compare_LOCK {
			holds = holds && (t.now.fence(c.Key) == c.Number) == (c.Result == kvpb.Compare_EQUAL)
			continue
		}
		keys := t.now.keys(c.Key, c.RangeEnd)
		for _, k := range keys {
			holds = holds && modelHolds(c, t.now[k])
		}
		if len(keys) == 0 {
			holds = holds && c.Target != kvpb.Compare_VALUE && modelHolds(c, nil)
		}
	}
	found := map[*kvpb.TxnRequest]bool{r: holds}
	for _, op := range append(slices.Clone(r.Success), r.Failure...) {
		if nested := op.GetTxn(); nested != nil {
			maps.Copy(found, t.outcomes(nested))
		}
	}
	return found
}

func modelHolds(c *kvpb.Compare, kv *kvpb.KeyValue) bool {
	is := map[kvpb.Compare_Target]int{
		kvpb.Compare_VERSION: cmp.Compare(kv.GetVersion(), c.Number),
		kvpb.Compare_CREATE:  cmp.Compare(kv.GetCreateRevision(), c.Number),
		kvpb.Compare_MOD:     cmp.Compare(kv.GetModRevision(), c.Number),
		kvpb.Compare_LEASE:   cmp.Compare(kv.GetLease(), c.Number),
		kvpb.Compare_VALUE:   bytes.Compare(kv.GetValue(), c.Value),
	}[c.Target]
	return map[kvpb.Compare_Result]bool{
		kvpb.Compare_EQUAL: is == 0, kvpb.Compare_NOT_EQUAL: is != 0, kvpb.Compare_GREATER: is > 0, kvpb.Compare_LESS: is < 0,
	}[c.Result]
}

func (t *modelTxn) txn(r *kvpb.TxnRequest, outcomes map[*kvpb.TxnRequest]bool) (*kvpb.TxnResponse, *api.Error) {
	resp := &kvpb.TxnResponse{Succeeded: outcomes[r]}
	ops := r.Failure
	if resp.Succeeded {
		ops = r.Success
	}
	for _, op := range ops {
		one := &kvpb.ResponseOp{}
		var err *api.Error
		switch op := op.Request.(type) {
		case *kvpb.RequestOp_Put:
			var put *kvpb.PutResponse
			put, err = t.put(op.Put)
			one.Response = &kvpb.ResponseOp_Put{Put: put}
		case *kvpb.RequestOp_DeleteRange:
			one.Response = &kvpb.ResponseOp_DeleteRange{DeleteRange: t.delete(op.DeleteRange)}
		case *kvpb.RequestOp_Txn:
			var txn *kvpb.TxnResponse
			txn, err = t.txn(op.Txn, outcomes)
			one.Response = &kvpb.ResponseOp_Txn{Txn: txn}
		case *kvpb.RequestOp_Range:
			var page *kvpb.RangeResponse
			page, err = t.m.rangeOf(op.Range, t.now, t.m.revision(), t.m.compacted)
			if err == nil {
				page.Revision = t.revision()
			}
			one.Response = &kvpb.ResponseOp_Range{Range: page}
		}
		if err != nil {
			return nil, err
		}
		resp.Responses = append(resp.Responses, one)
	}
	resp.Revision = t.revision()
	return resp, nil
}

// rangeOf answers a range from a state, or from an older one if the request names it.
func (m *model) rangeOf(r *kvpb.RangeRequest, now state, current, compacted int64) (*kvpb.RangeResponse, *api.Error) {
	if r.Revision != 0 {
		if r.Revision < compacted {
			return nil, &api.Error{Kind: api.KindCompacted, Compacted: compacted}
		} else if r.Revision > current {
			return nil, &api.Error{Kind: api.KindFutureRevision}
		}
		now = m.states[r.Revision]
	}
	keys := now.keys(r.Key, r.RangeEnd)
	resp := &kvpb.RangeResponse{Revision: current, Count: int64(len(keys))}
	var kvs []*kvpb.KeyValue
	for _, k := range keys {
		kv := proto.Clone(now[k]).(*kvpb.KeyValue)
		if kv.ModRevision < r.MinModRevision || r.MaxModRevision > 0 && kv.ModRevision > r.MaxModRevision ||
			kv.CreateRevision < r.MinCreateRevision || r.MaxCreateRevision > 0 && kv.CreateRevision > r.MaxCreateRevision {
			continue
		}
		kvs = append(kvs, kv)
	}
	by := map[kvpb.RangeRequest_SortTarget]func(kv *kvpb.KeyValue) int64{
		kvpb.RangeRequest_VERSION: (*kvpb.KeyValue).GetVersion,
		kvpb.RangeRequest_CREATE:  (*kvpb.KeyValue).GetCreateRevision,
		kvpb.RangeRequest_MOD:     (*kvpb.KeyValue).GetModRevision,
	}[r.SortTarget]
	slices.SortStableFunc(kvs, func(a, b *kvpb.KeyValue) int {
		if r.SortOrder == kvpb.RangeRequest_DESCEND {
			a, b = b, a
		}
		switch {
		case by != nil:
			return cmp.Compare(by(a), by(b))
		case r.SortTarget == kvpb.RangeRequest_VALUE:
			return bytes.Compare(a.Value, b.Value)
		}
		return bytes.Compare(a.Key, b.Key)
	})
	for i, kv := range kvs {
		if r.KeysOnly {
			kv.Value = nil
		}
		if r.Limit > 0 && int64(i) == r.Limit {
			resp.More, kvs = true, kvs[:i]
			break
		}
	}
	if r.CountOnly {
		resp.More, kvs = false, nil
	}
	resp.Kvs = kvs
	return resp, nil
}
