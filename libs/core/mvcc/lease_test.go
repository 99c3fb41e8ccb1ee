package mvcc

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

func grantCommand(id int64) *command.Command {
	return &command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: id, TtlMillis: 1000}}}
}

func revokeCommand(id int64) *command.Command {
	return &command.Command{Op: &command.Command_LeaseRevoke{LeaseRevoke: &kvpb.LeaseRevokeRequest{Id: id}}}
}

func leasedPut(key string, lease int64) *command.Command {
	c := putCommand(key, []byte("1"))
	c.GetPut().Lease = lease
	return c
}

func ttlPut(key string, millis int64) *command.Command {
	c := putCommand(key, []byte("1"))
	c.GetPut().TtlMillis = millis
	return c
}

// Nothing of a lease or a time to live stays behind in the state.
func TestLeasesLeaveNothingBehind(t *testing.T) {
	f := newFixture(t)
	check := func(leases, attachments, ttls int) {
		t.Helper()
		for _, c := range []struct {
			prefix byte
			want   int
		}{{prefixLease, leases}, {prefixAttachment, attachments}, {prefixTTL, ttls}} {
			if n := f.stateKeys(c.prefix); n != c.want {
				t.Errorf("%d state keys of %c, want %d", n, c.prefix, c.want)
			}
		}
	}
	f.apply(grantCommand(1), grantCommand(2), leasedPut("a", 1), leasedPut("b", 1), leasedPut("c", 2), ttlPut("d", 100), ttlPut("e", 100))
	check(2, 1, 2) // of each lease one key is inline
	f.apply(leasedPut("a", 2), ttlPut("b", 100), putCommand("d", nil), leasedPut("e", 1))
	check(2, 1, 1)
	f.apply(leasedPut("x", 9), deleteCommand("a", "c"))
	check(2, 0, 0)
	f.apply(revokeCommand(1), revokeCommand(2), grantCommand(3), revokeCommand(3))
	check(0, 0, 0)
}

// countingState counts what a machine reads and writes.
type countingState struct {
	store.State
	gets, scans, muts int
}

type countingView struct {
	store.View
	s *countingState
}

func (s *countingState) Write(muts []store.Mutation) error {
	s.muts += len(muts)
	return s.State.Write(muts)
}

func (s *countingState) Read(ts store.TS) (store.View, error) {
	v, err := s.State.Read(ts)
	return countingView{v, s}, err
}

func (v countingView) Get(key []byte) ([]byte, error) {
	v.s.gets++
	return v.View.Get(key)
}

func (v countingView) Scan(lower, upper []byte, reverse bool) store.Iterator {
	v.s.scans++
	return v.View.Scan(lower, upper, reverse)
}

// TestCostOfPuts: leases cost nothing where there are none. A put writes its
// record, its change record and, once for the entry, the meta record and, if the
// key is a new one, its segment; it reads what is not hot.
func TestCostOfPuts(t *testing.T) {
	f := newFixture(t)
	f.apply(grantCommand(1), leasedPut("leased", 1), putCommand("old", nil), ttlPut("timed", 100))
	for name, c := range map[string]struct {
		c           *command.Command
		gets, scans int
		muts        int
	}{
		"put of a new key":       {putCommand("new", nil), 1, 0, 4},
		"put":                    {putCommand("old", nil), 0, 0, 3},
		"delete":                 {deleteCommand("old", ""), 0, 0, 4},
		"put with the lease":     {leasedPut("leased", 1), 0, 0, 3},
		"put of a first leased":  {leasedPut("first", 2), 2, 0, 5},
		"put of another leased":  {leasedPut("leased/2", 1), 2, 0, 6},
		"put without the lease":  {putCommand("leased", nil), 1, 0, 4},
		"put with a ttl":         {ttlPut("timed", 200), 0, 0, 4},
		"put without the ttl":    {putCommand("timed", nil), 0, 0, 4},
		"revoke of one key":      {revokeCommand(1), 2, 0, 5},
		"revoke without any key": {revokeCommand(2), 1, 0, 2},
		"expiry of a ttl key":    {expire(&command.ExpireKey{Key: []byte("timed"), ModRevision: 4}), 0, 0, 5},
	} {
		f := newFixture(t)
		f.apply(grantCommand(1), grantCommand(2), leasedPut("leased", 1), putCommand("old", nil), ttlPut("timed", 100))
		s := &countingState{State: f.st}
		f.st = s
		if a := f.apply(c.c); a.Results[0][0].Err != nil {
			t.Fatal(name, a.Results[0][0].Err)
		}
		if s.gets != c.gets || s.scans != c.scans || s.muts != c.muts {
			t.Errorf("%s: %d gets, %d scans, %d mutations, want %d, %d, %d", name, s.gets, s.scans, s.muts, c.gets, c.scans, c.muts)
		}
	}
}

// Of the writes of one command to the same state key one counts, and no other is
// given to the store.
func TestManyKeysInOneTransaction(t *testing.T) {
	f := newFixture(t)
	f.apply(grantCommand(1), leasedPut("k000", 1), leasedPut("old", 1))
	txn := &kvpb.TxnRequest{Success: []*kvpb.RequestOp{
		{Request: &kvpb.RequestOp_DeleteRange{DeleteRange: &kvpb.DeleteRangeRequest{Key: []byte("old")}}},
	}}
	for i := range api.MaxTxnOps - 1 {
		put := leasedPut(fmt.Sprintf("k%03d", i), 1).GetPut()
		txn.Success = append(txn.Success, &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: put}})
	}
	s := &uniqueState{State: f.st}
	f.st = s
	f.apply(&command.Command{Op: &command.Command_Txn{Txn: txn}})
	info, err := f.Published().Lease(1, true)
	if err != nil || len(info.Keys) != api.MaxTxnOps-1 || s.twice != nil {
		t.Errorf("%d keys %v, written twice: %q", len(info.GetKeys()), err, s.twice)
	}
	if a := f.apply(revokeCommand(1)); len(a.Events) != api.MaxTxnOps-1 || f.Published().Revision != 5 {
		t.Errorf("%d events at revision %d", len(a.Events), f.Published().Revision)
	}
}

// uniqueState notices a state key written twice with one TS.
type uniqueState struct {
	store.State
	twice []byte
}

func (s *uniqueState) Write(muts []store.Mutation) error {
	seen := map[string]bool{}
	for _, m := range muts {
		id := fmt.Sprintf("%x@%d", m.Key, m.TS)
		if seen[id] {
			s.twice = m.Key
		}
		seen[id] = true
	}
	return s.State.Write(muts)
}

// A state that contradicts itself stops the machine.
func TestCorruptLeases(t *testing.T) {
	leaseKey, longKey, ttlKey := appendLeaseKey(nil, 1), append(appendLeaseKey(nil, 1), 0), appendTTLKey(nil, []byte("t"))
	attachment := appendAttachmentKey(nil, 1, []byte("b")) // that of a is inline
	leaseRow := func(id []byte, keys uint64, inline string) []byte {
		return appendRow(nil, id, []byte(inline), 1000, 1024, keys)
	}
	for name, c := range map[string]struct {
		key, value []byte           // nil value: missing
		c          *command.Command // nil: Timers
	}{
		"attachment is missing":      {attachment, nil, revokeCommand(1)},
		"attachment is damaged":      {attachment, appendRow(nil, leaseKey, nil), revokeCommand(1)},
		"attachment has a tail":      {attachment, appendRow(nil, attachment, []byte("x")), revokeCommand(1)},
		"attachment of no key":       {appendUserKey(nil, []byte("b")), nil, revokeCommand(1)},
		"inline key is missing":      {appendUserKey(nil, []byte("a")), nil, revokeCommand(1)},
		"inline key is lost":         {leaseKey, leaseRow(leaseKey, 2, ""), revokeCommand(1)},
		"inline key is another":      {leaseKey, leaseRow(leaseKey, 2, "c"), revokeCommand(1)},
		"lease counts too many":      {leaseKey, leaseRow(leaseKey, 3, "a"), revokeCommand(1)},
		"lease of a key is missing":  {leaseKey, nil, putCommand("a", nil)},
		"lease of a key is gone too": {leaseKey, nil, deleteCommand("a", "b")},
		"lease is damaged":           {leaseKey, leaseRow(attachment, 2, "a"), revokeCommand(1)},
		"key of another lease":       {appendUserKey(nil, []byte("a")), appendRecord(nil, []byte("a"), &record{mod: 2, create: 2, version: 1, lease: 2}), revokeCommand(1)},
		"lease is cut":               {leaseKey, appendRow(nil, leaseKey, nil, 1), nil},
		"lease of a long id":         {longKey, leaseRow(longKey, 0, ""), nil},
		"time to live is cut":        {ttlKey, appendRow(nil, ttlKey, nil, 1), nil},
		"time to live has a tail":    {ttlKey, appendRow(nil, ttlKey, []byte("x"), 1, 2), nil},
		"time to live of another":    {ttlKey, appendRow(nil, leaseKey, nil, 1, 2), nil},
	} {
		f := newFixture(t)
		f.apply(grantCommand(1), leasedPut("a", 1), leasedPut("b", 1), ttlPut("t", 100))
		mut := store.Mutation{Key: c.key, Value: c.value, TS: store.EndOf(1), Delete: c.value == nil}
		if err := f.node.State().Write([]store.Mutation{mut}); err != nil {
			t.Fatal(err)
		}
		err := f.Published().Timers(func(Timer) error { return nil })
		if c.c != nil {
			_, err = f.Apply([]Entry{{Index: 2, Commands: []*command.Command{c.c}}})
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeasesPaging(t *testing.T) {
	f := newFixture(t)
	for range leaseListMax/store.MaxCommands + 1 {
		var grants []*command.Command
		for range store.MaxCommands {
			grants = append(grants, grantCommand(int64(f.Published().Index)*store.MaxCommands+int64(len(grants))+1))
		}
		f.apply(grants...)
	}
	got := int64(0)
	for {
		list, err := f.Published().Leases(got, leaseListMax+5)
		if err != nil || len(list.Ids) > leaseListMax {
			t.Fatal(len(list.GetIds()), err)
		}
		for _, id := range list.Ids {
			if got++; id != got {
				t.Fatalf("lease %d, want %d", id, got)
			}
		}
		if !list.More {
			break
		}
	}
	if want := int64(f.Published().Index) * store.MaxCommands; got != want || want <= leaseListMax {
		t.Errorf("%d leases, want %d", got, want)
	}
	if _, err := f.Published().Leases(0, -1); api.KindOf(err) != api.KindBadRequest {
		t.Error(err)
	}
}

// What Timers calls may stop it.
func TestTimersStop(t *testing.T) {
	f := newFixture(t)
	f.apply(grantCommand(1), grantCommand(2), ttlPut("a", 100), ttlPut("b", 100))
	for after := range 4 {
		stop, calls := errors.New("stop"), 0
		err := f.Published().Timers(func(Timer) error {
			if calls++; calls > after {
				return stop
			}
			return nil
		})
		if err != stop || calls != after+1 {
			t.Errorf("%v after %d calls, want %d", err, calls, after+1)
		}
	}
}

// A committed put whose results were omitted still tells its time to live.
func TestOmittedTTL(t *testing.T) {
	kv := &kvpb.KeyValue{Key: []byte("k"), CreateRevision: 2, ModRevision: 2, Version: 1, TtlMillis: 100}
	got := withoutResults(&kvpb.PutResponse{Revision: 2, Kv: kv}).(*kvpb.PutResponse)
	if kv.Key = nil; !proto.Equal(got.Kv, kv) {
		t.Errorf("%v, want %v", got.Kv, kv)
	}
}
