package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"go.etcd.io/raft/v3/raftpb"
)

func putCommand(key string, value []byte) *command.Command {
	return &command.Command{Op: &command.Command_Put{Put: &kvpb.PutRequest{Key: []byte(key), Value: value}}}
}

func deleteCommand(key, end string) *command.Command {
	return &command.Command{Op: &command.Command_DeleteRange{DeleteRange: &kvpb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

// fixture is a machine over memstore.
type fixture struct {
	*Machine
	t    *testing.T
	node *memstore.Store
}

func newFixture(t *testing.T) *fixture {
	node := memstore.New(nil)
	m, err := Open(node.State(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{m, t, node}
}

// apply applies one entry.
func (f *fixture) apply(commands ...*command.Command) *Applied {
	f.t.Helper()
	a, err := f.Apply([]Entry{{Index: f.Published().Index + 1, Term: 1, Commands: commands}})
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) get(key string, revision int64) *kvpb.KeyValue {
	f.t.Helper()
	resp, err := f.Published().Range(&kvpb.RangeRequest{Key: []byte(key), Revision: revision})
	if err != nil {
		f.t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

// stateKeys counts the live state keys that begin with prefix.
func (f *fixture) stateKeys(prefix byte) (n int) {
	view, err := f.node.State().Read(f.Published().TS)
	if err != nil {
		f.t.Fatal(err)
	}
	defer view.Close()
	it := view.Scan([]byte{prefix}, []byte{prefix + 1}, false)
	defer it.Close()
	for it.Next() {
		n++
	}
	return n
}

func TestLargeValues(t *testing.T) {
	f := newFixture(t)
	values := [][]byte{2: bytes.Repeat([]byte("abc"), 500_000), 3: bytes.Repeat([]byte("d"), chunkBytes+1), 4: bytes.Repeat([]byte("e"), chunkBytes), 5: []byte("small")}
	// In one batch, so that the overlay's copy is read as well.
	f.apply(putCommand("k", values[2]), putCommand("k", values[3]), putCommand("k", values[4]), putCommand("k", values[5]), deleteCommand("k", ""))
	if n := f.stateKeys(prefixChunk); n != 0 {
		t.Errorf("%d chunks are left after the delete", n)
	}
	f.apply(putCommand("k", values[2]))
	if n := f.stateKeys(prefixChunk); n != 3 {
		t.Errorf("%d chunks for %d bytes", n, len(values[2]))
	}
	f.apply(putCommand("k", values[3]))
	if n := f.stateKeys(prefixChunk); n != 2 {
		t.Errorf("%d chunks for %d bytes", n, len(values[3]))
	}
	values = append(values, nil, values[2], values[3])
	for revision, want := range values[2:] {
		kv := f.get("k", int64(revision+2))
		if !bytes.Equal(kv.GetValue(), want) {
			t.Errorf("revision %d: %d bytes, want %d", revision+2, len(kv.GetValue()), len(want))
		}
	}
	page, err := f.Published().Events(EventQuery{PrevKV: true, MaxBytes: 64 << 20})
	if err != nil || len(page.Events) != 7 || !bytes.Equal(page.Events[6].Kv.Value, values[3]) || !bytes.Equal(page.Events[6].PrevKv.Value, values[2]) {
		t.Errorf("events %d, %v", len(page.Events), err)
	}
	c := putCommand("k", nil)
	c.GetPut().IgnoreValue = true
	if f.apply(c); !bytes.Equal(f.get("k", 0).Value, values[3]) {
		t.Error("ignore_value lost the value")
	}
}

func TestCorruptionIsNoticed(t *testing.T) {
	f := newFixture(t)
	f.apply(putCommand("a", []byte("1")), putCommand("b", bytes.Repeat([]byte("x"), chunkBytes+1)))
	damageAt := func(ts store.TS, key, value []byte) {
		t.Helper()
		mut := store.Mutation{Key: key, Value: value, TS: ts, Delete: value == nil}
		if err := f.node.State().Write([]store.Mutation{mut}); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(key, value []byte) { damageAt(store.EndOf(1), key, value) }
	read := func(key string) error {
		_, err := f.Published().Range(&kvpb.RangeRequest{Key: []byte(key), RangeEnd: []byte(key + "z")})
		return err
	}
	if err := errors.Join(read("a"), read("b")); err != nil {
		t.Fatal(err)
	}
	damage(appendUserKey(nil, []byte("a")), appendRecord(nil, []byte("b"), &record{size: 1, value: []byte("1")}))
	damage(appendChunkKey(nil, []byte("b"), 1), nil)
	for _, key := range []string{"a", "b"} {
		if err := read(key); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("read of %q: %v", key, err)
		}
	}
	damage(appendChangeKey(nil, 3, 0), nil)
	if _, err := f.Published().Range(&kvpb.RangeRequest{Key: []byte("a"), Revision: 2}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read of a revision without a change record: %v", err)
	}
	overwrite := putCommand("a", nil)
	overwrite.GetPut().PrevKv = true
	if _, err := f.Apply([]Entry{{Index: 2, Commands: []*command.Command{overwrite}}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("put over a corrupt record: %v", err)
	}
	if _, err := f.Apply([]Entry{{Index: 2}}); err == nil {
		t.Error("applied after a failure")
	}
	if _, err := Open(f.node.State(), 1); err != nil {
		t.Error(err)
	}
	damageAt(store.EndOf(5), metaKey, nil)
	if _, err := Open(f.node.State(), 5); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("opened without a meta record: %v", err)
	}
	if _, err := Open(f.node.State(), 3); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("opened at an index that was never applied: %v", err)
	}
}

func TestEntriesOutOfOrder(t *testing.T) {
	f := newFixture(t)
	f.apply(putCommand("a", nil))
	for _, entries := range [][]Entry{
		{{Index: 0}}, {{Index: 1}}, {{Index: 3}}, {{Index: 2}, {Index: 4}}, {{Index: 2}, {Index: 2}},
		{{Index: 2, Commands: make([]*command.Command, store.MaxCommands+1)}},
	} {
		if _, err := f.Apply(entries); err == nil {
			t.Errorf("entries %v were applied", entries[0].Index)
		}
	}
	if f.apply(putCommand("a", nil)); f.Published().Revision != 3 {
		t.Errorf("revision %d", f.Published().Revision)
	}
}

func TestOpenBehindBootstrap(t *testing.T) {
	index := uint64(1)
	node := memstore.New(&raftpb.SnapshotMetadata{Index: &index, Term: &index})
	m, err := Open(node.State(), 1)
	if err != nil || m.Published().Revision != 1 || m.Published().Index != 1 {
		t.Fatalf("%+v %v", m, err)
	}
	if _, err := m.Apply([]Entry{{Index: 2, Term: 1}}); err != nil {
		t.Fatal(err)
	}
}

// A revision of many changes takes several blocks, and Events cuts inside it.
func TestManyChangesInOneRevision(t *testing.T) {
	f := newFixture(t)
	const keys = 3*blockChanges + 5
	var puts []*command.Command
	for i := range keys {
		puts = append(puts, putCommand(fmt.Sprintf("k%04d", i), nil))
	}
	f.apply(puts...)
	f.apply(deleteCommand("k", "l"))
	var subs []int64
	after := api.End(keys + 1)
	for {
		page, err := f.Published().Events(EventQuery{After: after, Limit: 50})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if want := fmt.Sprintf("k%04d", e.Sub); string(e.Kv.Key) != want || e.Last != (e.Sub == keys-1) {
				t.Fatalf("event %v, want key %s", e, want)
			}
			subs = append(subs, e.Sub)
		}
		if after = page.Through; !page.More {
			break
		}
	}
	if len(subs) != keys || subs[keys-1] != keys-1 {
		t.Errorf("%d events up to sub %d, want %d", len(subs), subs[len(subs)-1], keys)
	}
}

func expire(keys ...*command.ExpireKey) *command.Command {
	return &command.Command{Op: &command.Command_Expire{Expire: &command.Expire{Keys: keys}}}
}

// expireKeys are n keys of so many bytes.
func expireKeys(n, bytes int) (keys []*command.ExpireKey) {
	for i := range n {
		keys = append(keys, &command.ExpireKey{Key: fmt.Appendf(nil, "%0*d", bytes, i), ModRevision: 1})
	}
	return keys
}

func TestCheckLimits(t *testing.T) {
	long := strings.Repeat("k", api.MaxKeyBytes)
	txn := func(ops ...*kvpb.RequestOp) *command.Command {
		return &command.Command{Op: &command.Command_Txn{Txn: &kvpb.TxnRequest{Success: ops}}}
	}
	put := func(key string, value int) *kvpb.RequestOp {
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Put{Put: putCommand(key, make([]byte, value)).GetPut()}}
	}
	nest := func(n int, inner ...*kvpb.RequestOp) *kvpb.RequestOp {
		for len(inner) < n {
			inner = append(inner, &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: &kvpb.TxnRequest{}}})
		}
		return &kvpb.RequestOp{Request: &kvpb.RequestOp_Txn{Txn: &kvpb.TxnRequest{Success: inner}}}
	}
	for name, c := range map[string]struct {
		c    *command.Command
		want api.Kind
	}{
		"longest key":           {putCommand(long, nil), ""},
		"key too long":          {putCommand(long+"k", nil), api.KindBadKey},
		"range after the last":  {deleteCommand(long+"\x00", long+"\x01"), ""},
		"range end too long":    {deleteCommand("a", long+"kk"), api.KindBadKey},
		"largest value":         {putCommand("k", make([]byte, api.MaxRequestBytes-1)), ""},
		"value too large":       {putCommand("k", make([]byte, api.MaxRequestBytes)), api.KindTooLarge},
		"txn too large":         {txn(put("a", api.MaxRequestBytes/2), put("b", api.MaxRequestBytes/2)), api.KindTooLarge},
		"most operations":       {txn(nest(api.MaxTxnOps).GetTxn().Success...), ""},
		"too many operations":   {txn(nest(api.MaxTxnOps + 1).GetTxn().Success...), api.KindTooManyOps},
		"nested within budget":  {txn(nest(api.MaxTxnOps-1), nest(api.MaxTxnOps-2)), api.KindTooManyOps},
		"nested at the budget":  {txn(nest(api.MaxTxnOps-2), nest(api.MaxTxnOps-2)), ""},
		"two levels too many":   {txn(nest(1, nest(api.MaxTxnOps-1))), api.KindTooManyOps},
		"two levels at budget":  {txn(nest(1, nest(api.MaxTxnOps-2))), ""},
		"message id":            {&command.Command{MsgId: strings.Repeat("i", api.MaxMsgIDBytes+1)}, api.KindBadRequest},
		"principal":             {&command.Command{Principal: strings.Repeat("i", principalBytesMax+1)}, api.KindBadRequest},
		"nothing":               {nil, api.KindBadRequest},
		"empty put":             {&command.Command{Op: &command.Command_Put{}}, api.KindBadKey},
		"empty txn is allowed":  {&command.Command{Op: &command.Command_Txn{}}, ""},
		"empty operation in it": {txn(nil), api.KindBadRequest},
		"empty grant":           {&command.Command{Op: &command.Command_LeaseGrant{}}, api.KindBadRequest},
		"empty revocation":      {&command.Command{Op: &command.Command_LeaseRevoke{}}, api.KindBadRequest},
		"empty expiry":          {&command.Command{Op: &command.Command_Expire{}}, api.KindBadRequest},
		"expiry without a key":  {expire(&command.ExpireKey{}), api.KindBadKey},
		"expiry of nothing":     {expire(nil), api.KindBadKey},
		"largest expiry":        {expire(expireKeys(MaxExpireKeys, 9)...), ""},
		"too many keys expire":  {expire(expireKeys(MaxExpireKeys+1, 9)...), api.KindBadRequest},
		"longest keys expire":   {expire(expireKeys(api.MaxRequestBytes/api.MaxKeyBytes, api.MaxKeyBytes)...), ""},
		"keys of expiry large":  {expire(expireKeys(api.MaxRequestBytes/api.MaxKeyBytes+1, api.MaxKeyBytes)...), api.KindTooLarge},
	} {
		err := Check(c.c)
		if got := api.KindOf(err); got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if c.want == api.KindTooLarge && !strings.Contains(err.Error(), fmt.Sprint(api.MaxRequestBytes)) {
			t.Errorf("%s: %v does not name the limit", name, err)
		}
		newFixture(t).apply(c.c) // must not panic
	}
}

// Readers go on while entries are applied and compacted under them: a revision
// is all there or not, and what was published is never gone.
func TestConcurrentReaders(t *testing.T) {
	f := newFixture(t)
	const rounds = 300
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 3 {
		wg.Go(func() {
			for {
				p := f.Published()
				resp, err := p.Txn(&kvpb.TxnRequest{Success: []*kvpb.RequestOp{
					{Request: &kvpb.RequestOp_Range{Range: &kvpb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z")}}},
				}})
				if err != nil {
					t.Error(err)
					return
				}
				for _, kv := range resp.Responses[0].GetRange().Kvs {
					if kv.ModRevision != resp.Revision {
						t.Errorf("%q has revision %d at revision %d", kv.Key, kv.ModRevision, resp.Revision)
					}
				}
				if _, err := p.Events(EventQuery{After: api.End(max(0, p.Revision-2)), PrevKV: true}); err != nil && api.KindOf(err) != api.KindCompacted {
					t.Error(err)
				}
				if p.Revision > rounds {
					return
				}
			}
		})
	}
	for i := range rounds {
		both := &command.Command{Op: &command.Command_Txn{Txn: &kvpb.TxnRequest{Success: []*kvpb.RequestOp{
			{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: []byte("a")}}},
			{Request: &kvpb.RequestOp_Put{Put: &kvpb.PutRequest{Key: []byte("b")}}},
		}}}}
		compact := &command.Command{Op: &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: int64(i + 1)}}}
		f.apply(both, compact)
		f.node.State().Discard(f.Published().DiscardTS)
		if _, err := f.Trim(3); err != nil {
			t.Fatal(err)
		}
	}
}
