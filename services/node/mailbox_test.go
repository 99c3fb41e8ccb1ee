package node

import (
	"testing"

	"github.com/kvorum/kvorum/libs/core/replica"
)

// An owner that is busy is not woken by what would only wait, and does not rest
// on it once it is not busy any more.
func TestBusyOwnerIsNotWoken(t *testing.T) {
	m := newMailbox()
	woken := func() bool {
		select {
		case <-m.wake:
			return true
		default:
			return false
		}
	}
	if m.rest(true, false) {
		t.Error("an empty mailbox has more")
	}
	if !m.propose(replica.Proposal{}) || woken() {
		t.Error("a write was refused, or woke an owner that is busy with writes")
	}
	if m.rest(true, false) {
		t.Error("a write that has to wait keeps the owner from resting")
	}
	if !m.read(replica.Read{}) || !woken() {
		t.Error("a read was refused, or did not wake an owner that is busy with writes")
	}
	if !m.rest(true, false) || !m.rest(false, true) {
		t.Error("the owner rests on a read, or on a write, that it is not too busy for")
	}
	if in := m.take(); len(in.Proposals) != 1 || len(in.Reads) != 1 || m.rest(false, false) {
		t.Error("the mailbox does not give what came, once")
	}
	if !m.propose(replica.Proposal{}) || !woken() {
		t.Error("a write does not wake an owner that is not busy")
	}
}
