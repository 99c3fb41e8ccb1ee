// Package kvjson is the JSON form of Kvorum's messages, as PROTOCOL.md defines
// it. It is written by hand because the form is for people at a shell, and is a
// contract of its own: it is neither protobuf's JSON nor derived from the field
// names of kv.proto.
//
// Reading a request is strict: unknown and repeated fields, null, invalid UTF-8,
// lone surrogates, non-canonical base64, numbers that are no 64-bit integers
// and anything after the value are refused, each as an *api.Error of
// KindBadRequest that names the place as a JSON path. Nothing is ever replaced
// or rounded silently. Reading an answer is as strict except that unknown
// fields are skipped, so that a client understands newer servers.
//
// It checks form only. What a revision, key or limit may be is the server's to
// say, whatever form the request had.
package kvjson

import (
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Unmarshal reads the JSON form of m, replacing what m held. Every request and
// answer of the contract is known but for the raw ones, the watch service's feed
// and its grants; so are KeyValue, LeaseState, Event and Error. An empty body is an empty
// history, sync, status or lease list request. The error is an *api.Error.
func Unmarshal(data []byte, m proto.Message) error {
	proto.Reset(m)
	if len(data) == 0 {
		switch m.(type) {
		case *kvpb.HistoryRequest, *kvpb.SyncRequest, *kvpb.StatusRequest, *kvpb.LeaseListRequest:
			return nil
		}
	}
	r := &reader{data: data}
	if !r.request(m) {
		r.lenient = true
		if !r.answer(m) {
			return noForm(m)
		}
	}
	return r.finish()
}

// request reads m; false if it is no request.
func (r *reader) request(m proto.Message) bool {
	switch m := m.(type) {
	case *kvpb.RangeRequest:
		r.rangeRequest(m)
	case *kvpb.PutRequest:
		r.putRequest(m)
	case *kvpb.DeleteRangeRequest:
		r.deleteRequest(m)
	case *kvpb.TxnRequest:
		r.txnRequest(m)
	case *kvpb.CompactRequest:
		r.compactRequest(m)
	case *kvpb.HistoryRequest:
		r.historyRequest(m)
	case *kvpb.SyncRequest:
		r.syncRequest(m)
	case *kvpb.LeaseGrantRequest:
		r.leaseGrantRequest(m)
	case *kvpb.LeaseRevokeRequest:
		r.leaseRevokeRequest(m)
	case *kvpb.LeaseKeepAliveRequest:
		r.keepAliveRequest(m)
	case *kvpb.LeaseInfoRequest:
		r.leaseInfoRequest(m)
	case *kvpb.LeaseListRequest:
		r.leaseListRequest(m)
	case *kvpb.LockRequest:
		r.lockRequest(m)
	case *kvpb.UnlockRequest:
		r.unlockRequest(m)
	case *kvpb.ProclaimRequest:
		r.proclaimRequest(m)
	case *kvpb.LeaderRequest:
		r.leaderRequest(m)
	case *kvpb.StatusRequest:
		r.object(unknown)
	default:
		return false
	}
	return true
}

// answer reads m; false if it is no answer and no part of one.
func (r *reader) answer(m proto.Message) bool {
	switch m := m.(type) {
	case *kvpb.RangeResponse:
		r.rangeResponse(m)
	case *kvpb.PutResponse:
		r.putResponse(m)
	case *kvpb.DeleteRangeResponse:
		r.deleteResponse(m)
	case *kvpb.TxnResponse:
		r.txnResponse(m)
	case *kvpb.CompactResponse:
		r.compactResponse(m)
	case *kvpb.HistoryResponse:
		r.historyResponse(m)
	case *kvpb.SyncResponse:
		r.syncResponse(m)
	case *kvpb.StatusResponse:
		r.statusResponse(m)
	case *kvpb.LeaseGrantResponse:
		r.leaseGrantResponse(m)
	case *kvpb.LeaseRevokeResponse:
		r.leaseRevokeResponse(m)
	case *kvpb.LeaseKeepAliveResponse:
		r.keepAliveResponse(m)
	case *kvpb.LeaseInfoResponse:
		r.leaseInfoResponse(m)
	case *kvpb.LeaseListResponse:
		r.leaseListResponse(m)
	case *kvpb.LockResponse:
		r.lockResponse(m)
	case *kvpb.UnlockResponse:
		m.Revision = r.revisionOnly()
	case *kvpb.ProclaimResponse:
		m.Revision = r.revisionOnly()
	case *kvpb.LeaderResponse:
		r.leaderResponse(m)
	case *kvpb.LeaseState:
		r.leaseState(m)
	case *kvpb.KeyValue:
		r.keyValue(m)
	case *kvpb.Event:
		r.event(m)
	case *kvpb.Error:
		r.errorBody(m)
	default:
		return false
	}
	return true
}

// Marshal is the JSON form of m, of the messages that Unmarshal knows. It fails,
// with an *api.Error, for other messages and for those that no request or
// answer can be, such as an operation of no kind.
func Marshal(m proto.Message) ([]byte, error) {
	w := &writer{b: make([]byte, 0, 64+proto.Size(m)*3/2)}
	if !w.request(m) && !w.answer(m) {
		return nil, noForm(m)
	}
	return w.finish()
}

func (w *writer) request(m proto.Message) bool {
	switch m := m.(type) {
	case *kvpb.RangeRequest:
		w.rangeRequest(m)
	case *kvpb.PutRequest:
		w.putRequest(m)
	case *kvpb.DeleteRangeRequest:
		w.deleteRequest(m)
	case *kvpb.TxnRequest:
		w.txnRequest(m)
	case *kvpb.CompactRequest:
		w.compactRequest(m)
	case *kvpb.HistoryRequest:
		w.historyRequest(m)
	case *kvpb.SyncRequest:
		w.syncRequest(m)
	case *kvpb.LeaseGrantRequest:
		w.leaseGrantRequest(m)
	case *kvpb.LeaseRevokeRequest:
		w.leaseRevokeRequest(m)
	case *kvpb.LeaseKeepAliveRequest:
		w.keepAliveRequest(m)
	case *kvpb.LeaseInfoRequest:
		w.leaseInfoRequest(m)
	case *kvpb.LeaseListRequest:
		w.leaseListRequest(m)
	case *kvpb.LockRequest:
		w.lockRequest(m)
	case *kvpb.UnlockRequest:
		w.unlockRequest(m)
	case *kvpb.ProclaimRequest:
		w.proclaimRequest(m)
	case *kvpb.LeaderRequest:
		w.leaderRequest(m)
	case *kvpb.StatusRequest:
		w.object(func() {})
	default:
		return false
	}
	return true
}

func (w *writer) answer(m proto.Message) bool {
	switch m := m.(type) {
	case *kvpb.RangeResponse:
		w.rangeResponse(m, answer)
	case *kvpb.PutResponse:
		w.putResponse(m, answer)
	case *kvpb.DeleteRangeResponse:
		w.deleteResponse(m, answer)
	case *kvpb.TxnResponse:
		w.txnResponse(m, answer)
	case *kvpb.CompactResponse:
		w.compactResponse(m)
	case *kvpb.HistoryResponse:
		w.historyResponse(m)
	case *kvpb.SyncResponse:
		w.syncResponse(m)
	case *kvpb.StatusResponse:
		w.statusResponse(m)
	case *kvpb.LeaseGrantResponse:
		w.leaseGrantResponse(m)
	case *kvpb.LeaseRevokeResponse:
		w.leaseRevokeResponse(m)
	case *kvpb.LeaseKeepAliveResponse:
		w.keepAliveResponse(m)
	case *kvpb.LeaseInfoResponse:
		w.leaseInfoResponse(m)
	case *kvpb.LeaseListResponse:
		w.leaseListResponse(m)
	case *kvpb.LockResponse:
		w.lockResponse(m)
	case *kvpb.UnlockResponse:
		w.revisionOnly(m.Revision)
	case *kvpb.ProclaimResponse:
		w.revisionOnly(m.Revision)
	case *kvpb.LeaderResponse:
		w.leaderResponse(m)
	case *kvpb.LeaseState:
		w.leaseState(m)
	case *kvpb.KeyValue:
		w.keyValue(m)
	case *kvpb.Event:
		w.event(m)
	case *kvpb.Error:
		w.errorBody(m)
	default:
		return false
	}
	return true
}

func noForm(m proto.Message) error {
	return api.Errorf(api.KindBadRequest, "%T has no JSON form: use protobuf", m)
}
