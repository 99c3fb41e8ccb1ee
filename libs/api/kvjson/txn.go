package kvjson

import "github.com/kvorum/kvorum/libs/api/kvpb"

// level is where an answer stands. The results of a transaction have one
// revision, which is written once, on top.
type level int

const (
	answer level = iota
	result
)

func (w *writer) revision(n int64, at level) {
	if at == answer || n != 0 {
		w.int("revision", n)
	}
}

func (r *reader) txnRequest(m *kvpb.TxnRequest) {
	r.object(func(name string) bool {
		switch name {
		case "if":
			r.array(func() {
				c := new(kvpb.Compare)
				r.compare(c)
				m.Compare = append(m.Compare, c)
			})
		case "then":
			m.Success = r.ops()
		case "else":
			m.Failure = r.ops()
		default:
			return false
		}
		return true
	})
}

func (w *writer) txnRequest(m *kvpb.TxnRequest) {
	w.object(func() {
		w.list("if", len(m.Compare), func(i int) { w.compare(m.Compare[i]) })
		w.list("then", len(m.Success), func(i int) { w.op(m.Success[i]) })
		w.list("else", len(m.Failure), func(i int) { w.op(m.Failure[i]) })
	})
}

func (r *reader) ops() (list []*kvpb.RequestOp) {
	r.array(func() {
		op := new(kvpb.RequestOp)
		r.op(op)
		list = append(list, op)
	})
	return list
}

func (r *reader) op(m *kvpb.RequestOp) {
	n := 0
	r.object(func(name string) bool {
		n++
		switch name {
		case "get":
			op := new(kvpb.RangeRequest)
			r.rangeRequest(op)
			m.Request = &kvpb.RequestOp_Range{Range: op}
		case "put":
			op := new(kvpb.PutRequest)
			r.putRequest(op)
			m.Request = &kvpb.RequestOp_Put{Put: op}
		case "delete":
			op := new(kvpb.DeleteRangeRequest)
			r.deleteRequest(op)
			m.Request = &kvpb.RequestOp_DeleteRange{DeleteRange: op}
		case "txn":
			op := new(kvpb.TxnRequest)
			r.txnRequest(op)
			m.Request = &kvpb.RequestOp_Txn{Txn: op}
		default:
			return false
		}
		return true
	})
	if n != 1 {
		r.fail("want exactly one of get, put, delete and txn")
	}
}

func (w *writer) op(m *kvpb.RequestOp) {
	w.object(func() {
		switch op := m.GetRequest().(type) {
		case *kvpb.RequestOp_Range:
			w.name("get")
			w.rangeRequest(op.Range)
		case *kvpb.RequestOp_Put:
			w.name("put")
			w.putRequest(op.Put)
		case *kvpb.RequestOp_DeleteRange:
			w.name("delete")
			w.deleteRequest(op.DeleteRange)
		case *kvpb.RequestOp_Txn:
			w.name("txn")
			w.txnRequest(op.Txn)
		default:
			w.fail("an operation of a transaction is empty")
		}
	})
}

func (r *reader) txnResponse(m *kvpb.TxnResponse) {
	r.object(func(name string) bool {
		switch name {
		case "succeeded":
			m.Succeeded = r.bool()
		case "revision":
			m.Revision = r.int64()
		case "results":
			r.array(func() {
				op := new(kvpb.ResponseOp)
				r.result(op)
				m.Responses = append(m.Responses, op)
			})
		case "results_omitted":
			m.ResultsOmitted = r.bool()
		default:
			return false
		}
		return true
	})
}

func (w *writer) txnResponse(m *kvpb.TxnResponse, at level) {
	w.object(func() {
		w.bool("succeeded", m.Succeeded)
		w.revision(m.Revision, at)
		w.array("results", len(m.Responses), func(i int) { w.result(m.Responses[i]) })
		w.flag("results_omitted", m.ResultsOmitted)
	})
}

func (r *reader) result(m *kvpb.ResponseOp) {
	n := 0
	r.object(func(name string) bool {
		n++
		switch name {
		case "get":
			op := new(kvpb.RangeResponse)
			r.rangeResponse(op)
			m.Response = &kvpb.ResponseOp_Range{Range: op}
		case "put":
			op := new(kvpb.PutResponse)
			r.putResponse(op)
			m.Response = &kvpb.ResponseOp_Put{Put: op}
		case "delete":
			op := new(kvpb.DeleteRangeResponse)
			r.deleteResponse(op)
			m.Response = &kvpb.ResponseOp_DeleteRange{DeleteRange: op}
		case "txn":
			op := new(kvpb.TxnResponse)
			r.txnResponse(op)
			m.Response = &kvpb.ResponseOp_Txn{Txn: op}
		default:
			n--
			return false
		}
		return true
	})
	if n != 1 {
		r.fail("want exactly one of get, put, delete and txn")
	}
}

func (w *writer) result(m *kvpb.ResponseOp) {
	w.object(func() {
		switch op := m.GetResponse().(type) {
		case *kvpb.ResponseOp_Range:
			w.name("get")
			w.rangeResponse(op.Range, result)
		case *kvpb.ResponseOp_Put:
			w.name("put")
			w.putResponse(op.Put, result)
		case *kvpb.ResponseOp_DeleteRange:
			w.name("delete")
			w.deleteResponse(op.DeleteRange, result)
		case *kvpb.ResponseOp_Txn:
			w.name("txn")
			w.txnResponse(op.Txn, result)
		default:
			w.fail("a result of a transaction is empty")
		}
	})
}
