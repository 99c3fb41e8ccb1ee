package member

import (
	"testing"

	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// Reads wait until the state is as new as they ask for, or their time is over.
func TestWaiting(t *testing.T) {
	var w Waiting
	at := func(index uint64, revision int64) *mvcc.Published {
		return &mvcc.Published{Index: index, Revision: revision}
	}
	read := func(deadline int64, tag string) []replica.Read { return []replica.Read{{Deadline: deadline, Tag: tag}} }
	if !w.Await(Awaited{Index: 5, Reads: read(100, "")}, at(5, 3)) {
		t.Error("a read of what is applied waits")
	}
	if w.Await(Awaited{Since: 10, Index: 7, Reads: append(read(50, "early"), read(100, "index")...)}, at(6, 3)) ||
		w.Await(Awaited{Since: 5, Revision: 9, Reads: read(100, "revision")}, at(6, 3)) {
		t.Error("a read of what is not applied is ready")
	}
	if w.Late(10) || !w.Late(11) {
		t.Error("late are those that a quorum has confirmed, and began to wait before")
	}
	if ready := w.Published(at(6, 8)); len(ready) != 0 {
		t.Errorf("%v are ready too early", ready)
	}
	if over := w.Expire(50); len(over) != 0 {
		t.Errorf("%v are over too early", over)
	}
	if over := w.Expire(51); len(over) != 1 || over[0].Tag != "early" {
		t.Errorf("%v are over", over)
	}
	if ready := w.Published(at(7, 8)); len(ready) != 1 || len(ready[0]) != 1 || ready[0][0].Tag != "index" {
		t.Errorf("%v are ready at the index", ready)
	}
	if ready := w.Published(at(8, 9)); len(ready) != 1 || ready[0][0].Tag != "revision" {
		t.Errorf("%v are ready at the revision", ready)
	}
	if ready := w.Published(at(9, 10)); len(ready) != 0 {
		t.Errorf("%v are ready twice", ready)
	}
}
