package mvcc

import (
	"bytes"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
)

// Check refuses, with an *api.Error, every command that can be refused without
// looking at the state. A proposer calls it so that such a command never
// reaches the log; Apply calls it again and answers with the same error.
func Check(c *command.Command) error {
	if e := check(c); e != nil {
		return e
	}
	return nil
}

// CheckRange is Check for a range.
func CheckRange(r *kvpb.RangeRequest) error {
	if e := checkRange(r); e != nil {
		return e
	}
	return nil
}

func check(c *command.Command) *api.Error {
	if len(c.GetMsgId()) > api.MaxMsgIDBytes {
		return api.Errorf(api.KindBadRequest, "the message id has %d bytes, more than %d", len(c.MsgId), api.MaxMsgIDBytes)
	}
	if len(c.GetPrincipal()) > principalBytesMax || len(c.GetRequestHash()) > requestHashBytesMax {
		return api.Errorf(api.KindBadRequest, "the principal is over %d bytes or the request hash over %d", principalBytesMax, requestHashBytesMax)
	}
	var size int
	var err *api.Error
	conditional := false // whether if_revision has a meaning
	switch op := c.GetOp().(type) {
	case *command.Command_Put:
		err, conditional = checkPut(op.Put, &size), true
	case *command.Command_DeleteRange:
		err, conditional = checkDelete(op.DeleteRange, &size), len(op.DeleteRange.GetRangeEnd()) == 0
	case *command.Command_Txn:
		err = checkTxn(op.Txn, &size)
	case *command.Command_Compact:
		if op.Compact.GetRevision() < 1 {
			err = api.Errorf(api.KindBadRequest, "compact to revision %d: revisions begin at 1", op.Compact.GetRevision())
		}
	case *command.Command_LeaseGrant:
		err = checkGrant(op.LeaseGrant)
	case *command.Command_LeaseRevoke:
		if op.LeaseRevoke.GetId() == 0 {
			err = errNoLeaseID
		}
	case *command.Command_Expire:
		err = checkExpire(op.Expire, &size)
	default:
		err = errNoCommand
	}
	switch {
	case err != nil:
		return err
	case c.IfRevision != nil && !conditional:
		return api.Errorf(api.KindBadRequest, "if_revision goes with a put or the delete of one key only")
	case c.GetIfRevision() < 0:
		return api.Errorf(api.KindBadRequest, "if_revision %d is negative", c.GetIfRevision())
	case size > api.MaxRequestBytes:
		return errRequestTooLarge(size)
	}
	return nil
}

var (
	errNoCommand = api.Errorf(api.KindBadRequest, "the command is empty")
	errNoLeaseID = api.Errorf(api.KindBadRequest, "the lease has no id")
)

func errRequestTooLarge(size int) *api.Error {
	return api.Errorf(api.KindTooLarge, "keys and values of the request have %d bytes together, more than %d", size, api.MaxRequestBytes)
}

// checkKeys checks a key and, if there is one, the end of its range. Bounds of
// a range may be one byte longer than a key: the first key after one of the
// greatest length begins with it.
func checkKeys(key, end []byte, size *int) *api.Error {
	*size += len(key) + len(end)
	bound := api.MaxKeyBytes
	if len(end) > 0 {
		bound++
	}
	if len(key) == 0 {
		return api.Errorf(api.KindBadKey, "the key is empty")
	}
	if len(key) > bound || len(end) > bound {
		return api.Errorf(api.KindBadKey, "the key has %d bytes, more than %d", max(len(key), len(end)), api.MaxKeyBytes)
	}
	return nil
}

func checkPut(r *kvpb.PutRequest, size *int) *api.Error {
	*size += len(r.GetValue())
	if err := checkKeys(r.GetKey(), nil, size); err != nil {
		return err
	}
	if r.IgnoreValue && len(r.Value) > 0 {
		return api.Errorf(api.KindBadRequest, "a value is given together with ignore_value")
	}
	if r.IgnoreLease && r.Lease != 0 {
		return api.Errorf(api.KindBadRequest, "a lease is given together with ignore_lease")
	}
	switch {
	case r.TtlMillis == 0:
		return nil
	case r.IgnoreLease:
		return api.Errorf(api.KindBadRequest, "a time to live is given together with ignore_lease")
	case r.Lease != 0:
		return api.Errorf(api.KindBadRequest, "a time to live is given together with a lease: the lease has one")
	}
	return checkTTL(r.TtlMillis, api.MinTTLMillis)
}

func checkTTL(millis, least int64) *api.Error {
	if millis < least || millis > api.MaxLeaseMillis {
		return api.Errorf(api.KindBadRequest, "a time to live of %d ms is not from %d to %d ms", millis, least, int64(api.MaxLeaseMillis))
	}
	return nil
}

func checkGrant(r *kvpb.LeaseGrantRequest) *api.Error {
	if r.GetId() == 0 {
		return errNoLeaseID
	}
	return checkTTL(r.TtlMillis, api.MinLeaseMillis)
}

func checkExpire(r *command.Expire, size *int) *api.Error {
	if (r.GetLease() != 0) == (len(r.GetKeys()) > 0) {
		return api.Errorf(api.KindBadRequest, "an expiry is of one lease or of keys")
	}
	if len(r.Keys) > MaxExpireKeys {
		return api.Errorf(api.KindBadRequest, "an expiry of %d keys, more than %d", len(r.Keys), MaxExpireKeys)
	}
	for _, k := range r.Keys {
		if err := checkKeys(k.GetKey(), nil, size); err != nil {
			return err
		}
	}
	return nil
}

func checkDelete(r *kvpb.DeleteRangeRequest, size *int) *api.Error {
	return checkKeys(r.GetKey(), r.GetRangeEnd(), size)
}

func checkRange(r *kvpb.RangeRequest) *api.Error {
	if err := checkKeys(r.GetKey(), r.GetRangeEnd(), new(int)); err != nil {
		return err
	}
	if kvpb.RangeRequest_SortOrder_name[int32(r.SortOrder)] == "" || kvpb.RangeRequest_SortTarget_name[int32(r.SortTarget)] == "" {
		return api.Errorf(api.KindBadRequest, "unknown sort order %d or target %d", r.SortOrder, r.SortTarget)
	}
	for _, v := range [...]struct {
		name  string
		value int64
	}{
		{"limit", r.Limit}, {"revision", r.Revision}, {"max_bytes", r.MaxBytes}, {"min_revision", r.MinRevision},
		{"min_mod_revision", r.MinModRevision}, {"max_mod_revision", r.MaxModRevision},
		{"min_create_revision", r.MinCreateRevision}, {"max_create_revision", r.MaxCreateRevision},
	} {
		if v.value < 0 {
			return api.Errorf(api.KindBadRequest, "%s %d is negative", v.name, v.value)
		}
	}
	return nil
}

func checkTxn(r *kvpb.TxnRequest, size *int) *api.Error {
	if err := checkOps(r, api.MaxTxnOps, size); err != nil {
		return err
	}
	if *size > api.MaxRequestBytes {
		return errRequestTooLarge(*size)
	}
	for _, ops := range [...][]*kvpb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		if _, _, err := writesOf(ops); err != nil {
			return err
		}
	}
	return nil
}

// checkOps checks a transaction and those inside it, which share what its own
// operations leave of the budget.
func checkOps(r *kvpb.TxnRequest, budget int, size *int) *api.Error {
	used := max(len(r.GetCompare()), len(r.GetSuccess()), len(r.GetFailure()))
	if used > budget {
		return api.Errorf(api.KindTooManyOps, "the transaction has more than %d operations, nested ones included", api.MaxTxnOps)
	}
	for _, c := range r.GetCompare() {
		if err := checkCompare(c, size); err != nil {
			return err
		}
	}
	for _, ops := range [...][]*kvpb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if err := checkOp(op, budget-used, size); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *kvpb.RequestOp, budget int, size *int) *api.Error {
	switch op := op.GetRequest().(type) {
	case *kvpb.RequestOp_Range:
		return checkRange(op.Range)
	case *kvpb.RequestOp_Put:
		return checkPut(op.Put, size)
	case *kvpb.RequestOp_DeleteRange:
		return checkDelete(op.DeleteRange, size)
	case *kvpb.RequestOp_Txn:
		return checkOps(op.Txn, budget, size)
	}
	return errNoOperation
}

func checkCompare(c *kvpb.Compare, size *int) *api.Error {
	*size += len(c.GetValue())
	if err := checkKeys(c.GetKey(), c.GetRangeEnd(), size); err != nil {
		return err
	}
	if kvpb.Compare_Result_name[int32(c.Result)] == "" || kvpb.Compare_Target_name[int32(c.Target)] == "" {
		return api.Errorf(api.KindBadRequest, "unknown comparison %d or target %d", c.Result, c.Target)
	}
	if c.Target == kvpb.Compare_LOCK && (len(c.RangeEnd) > 0 || c.Result != kvpb.Compare_EQUAL && c.Result != kvpb.Compare_NOT_EQUAL) {
		return api.Errorf(api.KindBadRequest, "a lock is compared with EQUAL or NOT_EQUAL, and without a range")
	}
	return nil
}

// contains tells whether key is in a request's range.
func contains(lower, end, key []byte) bool {
	if len(end) == 0 {
		return bytes.Equal(lower, key)
	}
	return bytes.Compare(key, lower) >= 0 && (isOpenEnd(end) || bytes.Compare(key, end) < 0)
}
