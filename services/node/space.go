package node

import (
	"context"
	"fmt"
	"time"

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

// watchSpace checks the disk until ctx ends, often: others may fill it.
func (n *Node) watchSpace(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			n.checkSpace()
		}
	}
}

// checkSpace raises the alarm well before the disk is full, and stops the node
// before a write to a mapped file would end it with a signal.
func (n *Node) checkSpace() {
	free, err := n.store.FreeBytes()
	if err != nil {
		n.fail(fmt.Errorf("reading the free disk space: %w", err))
		return
	}
	n.freeBytes.Store(free)
	low := free < n.cfg.MinFreeBytes
	if n.lowSpace.Swap(low) != low {
		if low {
			n.log.Warn("the disk is nearly full: writes that grow the store are refused", "freeBytes", free, "minFreeBytes", n.cfg.MinFreeBytes)
		} else {
			n.log.Info("the disk has space again", "freeBytes", free)
		}
	}
	if free < n.cfg.MinFreeBytes/4 {
		n.fail(fmt.Errorf("only %d MiB of disk are left for %s: the node stops before its files are damaged; give it more space and start it again", free>>20, n.cfg.DataDir))
	}
}
