package check

import (
	"fmt"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Lease is one lease from its grant to its end, or one key with a time to live
// of its own from a put of it to the next. Times are as in Op.
type Lease struct {
	// ID is of the lease; 0 for a key. No lease of a history has the id of another.
	ID  int64
	Key []byte
	// TTL is its time to live, in nanoseconds.
	TTL int64
	// Renewed is when the grant, and each renewal, was sent that was acknowledged.
	Renewed []int64
	// Ended is when somebody first asked to end it by another way than time (a
	// revocation, a delete or a put of the key), whatever the outcome; 0: never.
	Ended int64
	// Gone is when it was first known not to be there: the return of a read or
	// renewal that said so, the arrival of an event; 0: never.
	Gone int64
	// How tells where that was seen.
	How string
}

// Leases demands that nothing runs out early: what is gone was last renewed, as
// far as acknowledged, more than its time to live before, or somebody ended it.
// tolerance is by how many nanoseconds the clocks of those who sent and of those
// who saw may differ, or the server's run fast over a time to live. It also
// demands of the events that what runs out goes in one revision: a lease with
// all of its keys.
func Leases(h History, leases []Lease, tolerance int64) error {
	for _, l := range leases {
		if l.Gone == 0 || l.Ended != 0 && l.Ended <= l.Gone || len(l.Renewed) == 0 {
			continue
		}
		last := slices.Max(l.Renewed)
		if l.Gone < last-tolerance {
			return fmt.Errorf("%s was gone at %s s (%s), and a renewal sent at %s s was acknowledged", l, seconds(l.Gone), l.How, seconds(last))
		}
		if l.Gone+tolerance < last+l.TTL {
			return fmt.Errorf("%s was gone at %s s (%s), %s s before the end of the time that was acknowledged", l, seconds(l.Gone), l.How, seconds(last+l.TTL-l.Gone))
		}
	}
	return leaseKeys(h)
}

func (l Lease) String() string {
	if l.ID == 0 {
		return fmt.Sprintf("the key %q", l.Key)
	}
	return fmt.Sprintf("the lease %016x", uint64(l.ID))
}

// leaseKeys: where a key expires with its lease, so do the lease's other keys.
func leaseKeys(h History) error {
	now := map[string]*kvpb.KeyValue{}
	attached := map[int64]map[string]bool{}
	put := func(kv *kvpb.KeyValue) {
		if now[string(kv.Key)] = kv; kv.Lease != 0 {
			if attached[kv.Lease] == nil {
				attached[kv.Lease] = map[string]bool{}
			}
			attached[kv.Lease][string(kv.Key)] = true
		}
	}
	for _, kv := range h.Start.GetKvs() {
		put(kv)
	}
	for events := h.Events; len(events) > 0; {
		n := 1 + slices.IndexFunc(events, func(ev *kvpb.Event) bool { return ev.Last })
		if n == 0 {
			return fmt.Errorf("the events end inside revision %d", events[0].Kv.ModRevision)
		}
		over := map[int64]*kvpb.Event{}
		for _, ev := range events[:n] {
			key := string(ev.Kv.Key)
			old := now[key]
			if id := old.GetLease(); id != 0 {
				delete(attached[id], key)
				if ev.Expired {
					over[id] = ev
				}
			}
			if ev.Type == kvpb.Event_DELETE {
				delete(now, key)
			} else {
				put(ev.Kv)
			}
		}
		for id, ev := range over {
			for key := range attached[id] {
				return fmt.Errorf("lease %016x ran out with %s, and its key %q stayed", uint64(id), showEvent(ev), key)
			}
		}
		events = events[n:]
	}
	return nil
}
