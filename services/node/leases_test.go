package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/lease"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"github.com/kvorum/kvorum/libs/natsbus"
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
	list := expiryCommands(due)
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
	l := newLeases(slog.New(slog.DiscardHandler), newMailbox(), lease.New())
	for i := range int64(1000) {
		l.applied(appliedTasks{timers: []mvcc.Timer{{Lease: i + 1, TTLMillis: 500, Generation: 7}}})
	}
	now := second
	l.onRole(replica.Role{Term: 1, Leading: true, Serving: true}, now)
	var proposed []*expiry
	take := func() {
		for range 5 { // lease time moves a little in each step
			now += second / 5
			l.advance(now)
		}
		for _, e := range expiryCommands(l.due()) {
			e.leases = l
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
				e.fail(errors.New("refused"))
				continue
			}
			id := e.of[0].Lease
			l.applied(appliedTasks{timers: []mvcc.Timer{{Lease: id, Generation: 7, Gone: true}}})
			e.decided()
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
	l := newLeases(slog.New(slog.DiscardHandler), newMailbox(), lease.New())
	l.applied(appliedTasks{timers: []mvcc.Timer{{Lease: 5, TTLMillis: api.MinLeaseMillis, Generation: 1}}})
	l.onRole(replica.Role{Term: 1, Leading: true, Serving: true}, second)
	l.keep(5)
	l.keep(5)
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
	l.release(5)
	if pass() != 0 {
		t.Error("a kept lease ended")
	}
	l.release(5)
	if pass() != 1 {
		t.Error("a lease that is kept no more lives on")
	}
}

// What was recorded under a leadership is confirmed only by a quorum round of
// the same one: another leader has not heard of it.
func TestConfirmedInTerm(t *testing.T) {
	c := &consensus{}
	for name, in := range map[string]struct {
		role replica.Role
		want int
	}{
		"still leading":   {replica.Role{Term: 5, Leading: true, Serving: true}, 2},
		"silent":          {replica.Role{Term: 5, Leading: true}, 2},
		"following":       {replica.Role{Term: 6, Leader: 9}, 1},
		"leading anew":    {replica.Role{Term: 7, Leading: true, Serving: true}, 1},
		"in its election": {replica.Role{Term: 5}, 1},
	} {
		c.role.Store(&in.role)
		out := &responder{stats: natsbus.NewStats(nil), term: func() uint64 { return 0 }}
		read := func(term uint64) replica.Read {
			return replica.Read{Tag: &readRequest{request: &request{msg: &nats.Msg{}, out: out}, term: term}}
		}
		bound, free := read(5), read(0)
		got := c.confirmed([]replica.Read{bound, free})
		refused := bound.Tag.(*readRequest).answered.Load()
		if len(got) != in.want || refused != (in.want == 1) || free.Tag.(*readRequest).answered.Load() {
			t.Errorf("%s: %d reads are confirmed", name, len(got))
		}
	}
}

// A request that names no lease gets one that follows from its message id, and
// a positive one.
func TestChooseLease(t *testing.T) {
	seen := map[int64]bool{}
	for range 1000 {
		seen[chooseLease("")] = true
	}
	if a, b := chooseLease("a"), chooseLease("b"); a != chooseLease("a") || a == b || len(seen) != 1000 {
		t.Errorf("%x %x, %d different ones", a, b, len(seen))
	}
	for id := range seen {
		if id <= 0 {
			t.Errorf("%x", id)
		}
	}
}

func TestTTLHeader(t *testing.T) {
	for in, want := range map[string]int64{"1500ms": 1500, "2m": 120_000, "1.5s": 1500, "1ms": 1} {
		h, err := parseHeaders(nats.Header{"Kv-Ttl": {in}}, api.HeaderTTL)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.ttl(); err != nil || got != want {
			t.Errorf("%q: %d %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "0", "0s", "-1s", "soon", "5", "1us", "1.5ms"} {
		if got, err := (headers{api.HeaderTTL: bad}).ttl(); api.KindOf(err) != api.KindBadRequest || !strings.Contains(err.Error(), "100") {
			t.Errorf("%q: %d %v", bad, got, err)
		}
	}
}

// Leases take space, and so are refused while there is little.
func TestGrows(t *testing.T) {
	if !grows(&command.Command{Op: &command.Command_LeaseGrant{}}) || grows(&command.Command{Op: &command.Command_LeaseRevoke{}}) || grows(nil) {
		t.Error("a grant grows the store, a revocation and a read do not")
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
	if err := agree(resp, m.Published()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", unavailable, unavailable, gone, gone} {
		if got := resp.Leases[i].Error; got != want {
			t.Errorf("lease %d: %q, want %q", i, got, want)
		}
	}
}
