package member

import (
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// What has run out becomes one command for each lease and few for the keys, none
// of which is larger than a command may be.
func TestExpiryCommands(t *testing.T) {
	var due []lease.Expiry
	for i := range 2500 {
		key := strings.Repeat("k", 20+i%100)
		if i >= 2000 {
			key = strings.Repeat("l", api.MaxKeyBytes)
		}
		due = append(due, lease.Expiry{ID: lease.ID{Key: key}, Generation: uint64(i + 1)})
		if i%100 == 0 {
			due = append(due, lease.Expiry{ID: lease.ID{Lease: int64(i + 1)}, Generation: uint64(i + 1)})
		}
	}
	leases, keys := 0, 0
	list := expiries(due)
	for _, e := range list {
		if err := mvcc.Check(e.command); err != nil {
			t.Fatal(err)
		}
		x := e.command.GetExpire()
		size := 0
		for i, k := range x.Keys {
			size += len(k.Key)
			if string(k.Key) != e.of[i].Key || uint64(k.ModRevision) != e.of[i].Generation {
				t.Fatalf("key %d is %v for %v", i, k, e.of[i])
			}
		}
		if x.Lease != 0 {
			leases++
			if len(e.of) != 1 || e.of[0].Lease != x.Lease || e.of[0].Generation != x.Granted {
				t.Errorf("%v for %v", x, e.of)
			}
		}
		if keys += len(x.Keys); size > expireBytesMax {
			t.Errorf("a command with %d bytes of keys", size)
		}
	}
	if leases != 25 || keys != 2500 || len(list) > 25+3+500*api.MaxKeyBytes/(expireBytesMax-api.MaxKeyBytes)+1 {
		t.Errorf("%d leases and %d keys in %d commands", leases, keys, len(list))
	}
}

// Whatever becomes of a proposal, what it was to end is either gone or tried
// again, and what may be under way is bounded.
func TestExpiriesAreTriedAgain(t *testing.T) {
	const second = int64(time.Second)
	l := newLeases(lease.New())
	for i := range int64(1000) {
		l.applied(Applied{Timers: []mvcc.Timer{{Lease: i + 1, TTLMillis: 500, Generation: 7}}})
	}
	now := second
	l.advance(now)
	l.onRole(replica.Role{Term: 1, Leading: true, Serving: true})
	var proposed []*expiry
	take := func() {
		for range 5 { // lease time moves a little in each step
			now += second / 5
			l.advance(now)
		}
		for _, e := range expiries(l.due()) {
			proposed = append(proposed, e)
		}
	}
	take()
	if n := len(proposed); n != expiriesMax/expiryOfLease || l.outstanding != expiriesMax {
		t.Fatalf("%d proposed, weighing %d", n, l.outstanding)
	}
	if take(); len(proposed) != expiriesMax/expiryOfLease {
		t.Fatalf("more was proposed before anything was decided")
	}
	gone := map[int64]bool{}
	for round := 0; len(gone) < 1000; round++ {
		if round > 1000 {
			t.Fatalf("only %d leases ended", len(gone))
		}
		for i, e := range proposed {
			if (i+round)%3 == 0 {
				if i%2 == 0 {
					l.refused([]replica.Refusal{{Proposal: replica.Proposal{Tag: e}}})
				} else {
					l.unknown([]replica.Proposal{{Tag: e}})
				}
				continue
			}
			id := e.of[0].Lease
			l.applied(Applied{Timers: []mvcc.Timer{{Lease: id, Generation: 7, Gone: true}}, ended: []*expiry{e}})
			gone[id] = true
		}
		proposed = nil
		take()
	}
	if l.outstanding != 0 || l.clock.Len() != 0 {
		t.Errorf("%d outstanding, %d timers at the end", l.outstanding, l.clock.Len())
	}
}

// A lease whose request waits is kept alive, until the last such request ends.
func TestKeptLeases(t *testing.T) {
	const second = int64(time.Second)
	l := newLeases(lease.New())
	l.applied(Applied{Timers: []mvcc.Timer{{Lease: 5, TTLMillis: api.MinLeaseMillis, Generation: 1}}})
	l.advance(second)
	l.onRole(replica.Role{Term: 1, Leading: true, Serving: true})
	l.Keep(5)
	l.Keep(5)
	now := second
	pass := func() (ended int) {
		for range 200 {
			now += second / 20
			l.advance(now)
			l.renewKept(now)
			ended += len(l.due())
		}
		return ended
	}
	l.Release(5)
	if pass() != 0 {
		t.Error("a kept lease ended")
	}
	l.Release(5)
	if pass() != 1 {
		t.Error("a lease that is kept no more lives on")
	}
}

// A keep-alive tells what the state says that the quorum round confirmed, where
// the clock knows less or more.
func TestKeepAliveAgreesWithTheState(t *testing.T) {
	one := uint64(1)
	st := memstore.New(&raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{Voters: []uint64{1}}, Index: &one, Term: &one})
	m, err := mvcc.Open(st.State(), 1)
	if err != nil {
		t.Fatal(err)
	}
	grant := &command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: 7, TtlMillis: 5000}}}
	if _, err := m.Apply([]mvcc.Entry{{Index: 2, Term: 2, Commands: []*command.Command{grant}}}); err != nil {
		t.Fatal(err)
	}
	gone, unavailable := string(api.KindLeaseNotFound), string(api.KindUnavailable)
	resp := &kvpb.LeaseKeepAliveResponse{Leases: []*kvpb.LeaseState{
		{Id: 7, TtlMillis: 5000, LeftMillis: 5000}, // renewed, and there
		{Id: 7, Error: gone},                       // so new that the clock has not heard of it
		{Id: 7, Error: unavailable},
		{Id: 8, TtlMillis: 5000, LeftMillis: 5000}, // renewed, and revoked since
		{Id: 8, Error: gone},
	}}
	if err := Confirm(resp, m.Published()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", unavailable, unavailable, gone, gone} {
		if got := resp.Leases[i].Error; got != want {
			t.Errorf("lease %d: %q, want %q", i, got, want)
		}
	}
}
