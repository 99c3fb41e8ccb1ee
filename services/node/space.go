package node

import (
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
)

// grows reports whether a command can make the store larger for good: a put
// does, alone or in any branch of a transaction, and so does a new lease;
// deletes and compactions make room. No command makes nothing larger.
func grows(c *command.Command) bool {
	switch op := c.GetOp().(type) {
	case *command.Command_Put, *command.Command_LeaseGrant:
		return true
	case *command.Command_Txn:
		return txnGrows(op.Txn)
	}
	return false
}

func txnGrows(t *kvpb.TxnRequest) bool {
	for _, ops := range [][]*kvpb.RequestOp{t.Success, t.Failure} {
		for _, op := range ops {
			if op.GetPut() != nil || op.GetTxn() != nil && txnGrows(op.GetTxn()) {
				return true
			}
		}
	}
	return false
}
