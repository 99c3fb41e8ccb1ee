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

// Unmarshal reads the JSON form of m, replacing what m held. Requests and
// answers of kv.range, put, delete-range, txn, compact, history, sync and
// status are known, as are KeyValue, Event and Error. An empty body is an empty
// history, sync or status request. The error is an *api.Error.
func Unmarshal(data []byte, m proto.Message) error {
	r := &reader{data: data, lenient: true}
	switch m.(type) {
	case *kvpb.HistoryRequest, *kvpb.SyncRequest, *kvpb.StatusRequest:
		if len(data) == 0 {
			proto.Reset(m)
			return nil
		}
		r.lenient = false
	case *kvpb.RangeRequest, *kvpb.PutRequest, *kvpb.DeleteRangeRequest, *kvpb.TxnRequest, *kvpb.CompactRequest:
		r.lenient = false
	}
	proto.Reset(m)
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
	case *kvpb.StatusRequest:
		r.object(unknown)
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
	case *kvpb.KeyValue:
		r.keyValue(m)
	case *kvpb.Event:
		r.event(m)
	case *kvpb.Error:
		r.errorBody(m)
	default:
		return noForm(m)
	}
	return r.finish()
}

// Marshal is the JSON form of m, of the messages that Unmarshal knows. It fails,
// with an *api.Error, for other messages and for those that no request or
// answer can be, such as an operation of no kind.
func Marshal(m proto.Message) ([]byte, error) {
	w := &writer{b: make([]byte, 0, 64+proto.Size(m)*3/2)}
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
	case *kvpb.StatusRequest:
		w.object(func() {})
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
	case *kvpb.KeyValue:
		w.keyValue(m)
	case *kvpb.Event:
		w.event(m)
	case *kvpb.Error:
		w.errorBody(m)
	default:
		return nil, noForm(m)
	}
	return w.finish()
}

func noForm(m proto.Message) error {
	return api.Errorf(api.KindBadRequest, "%T has no JSON form: use protobuf", m)
}
