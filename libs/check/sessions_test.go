package check

import (
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// refused demands an error with some words, or none where they are empty.
func refused(t *testing.T, what string, err error, words string) {
	t.Helper()
	switch {
	case words == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case words != "" && err == nil:
		t.Errorf("%s: not seen", what)
	case words != "" && !strings.Contains(err.Error(), words):
		t.Errorf("%s: %v, want %q", what, err, words)
	}
}

func TestRevisions(t *testing.T) {
	answer := func(client int, call, revision int64, id string) Op {
		return Op{Client: client, Call: call, Return: call + 5, MsgID: id, Request: &kvpb.RangeRequest{}, Response: &kvpb.RangeResponse{Revision: revision}}
	}
	old := answer(1, 20, 3, "")
	old.Request = &kvpb.RangeRequest{Serializable: true}
	for _, c := range []struct {
		what, words string
		ops         []Op
	}{
		{"rising", "", []Op{answer(1, 10, 5, ""), answer(1, 20, 5, ""), answer(1, 30, 6, "")}},
		{"other clients", "", []Op{answer(1, 10, 5, ""), answer(2, 20, 4, "")}},
		{"a read that may be old", "", []Op{answer(1, 10, 5, ""), old}},
		{"taken up again", "", []Op{answer(2, 5, 4, "m"), answer(1, 10, 5, ""), answer(1, 20, 4, "m")}},
		{"going back", "goes back", []Op{answer(1, 10, 5, ""), answer(1, 20, 4, "")}},
		{"not in the order of calls", "goes back", []Op{answer(1, 20, 4, ""), answer(1, 10, 5, "")}},
		{"two at a time", "two things", []Op{answer(1, 10, 5, ""), answer(1, 12, 6, "")}},
	} {
		refused(t, c.what, Revisions(c.ops), c.words)
	}
}

func TestDigests(t *testing.T) {
	refused(t, "equal", Digests([]Digest{{"a", 5, "x"}, {"b", 5, "x"}, {"b", 6, "y"}}), "")
	refused(t, "different", Digests([]Digest{{"a", 5, "x"}, {"b", 6, "x"}, {"b", 5, "y"}}), "at index 5")
}

// at is an event; value empty is a delete.
func at(revision, sub int64, key, value string, lease int64, last bool) *kvpb.Event {
	ev := &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: revision, CreateRevision: revision, Version: 1, Lease: lease}, Sub: sub, Last: last}
	if value == "" {
		ev.Type, ev.Kv = kvpb.Event_DELETE, &kvpb.KeyValue{Key: []byte(key), ModRevision: revision}
	}
	return ev
}

func expired(ev *kvpb.Event) *kvpb.Event { ev.Expired = true; return ev }

func TestLeases(t *testing.T) {
	for _, c := range []struct {
		what, words string
		l           Lease
	}{
		{"in time", "", Lease{ID: 1, TTL: 100, Renewed: []int64{10, 50}, Gone: 160}},
		{"never gone", "", Lease{ID: 1, TTL: 100, Renewed: []int64{10}}},
		{"revoked", "", Lease{ID: 1, TTL: 100, Renewed: []int64{10}, Ended: 20, Gone: 30}},
		{"within the tolerance", "", Lease{ID: 1, TTL: 100, Renewed: []int64{10}, Gone: 107}},
		{"early", "before the end", Lease{ID: 1, TTL: 100, Renewed: []int64{50, 10}, Gone: 120}},
		{"revoked later", "before the end", Lease{ID: 1, TTL: 100, Renewed: []int64{10}, Ended: 80, Gone: 60}},
		{"renewed after its end", "was acknowledged", Lease{Key: []byte("k"), TTL: 100, Renewed: []int64{10, 200}, Gone: 150}},
	} {
		refused(t, c.what, Leases(History{}, []Lease{c.l}, 5), c.words)
	}
	begin := []*kvpb.Event{at(2, 0, "a", "1", 7, true), at(3, 0, "b", "2", 7, true), at(4, 0, "c", "3", 8, true)}
	whole := append(begin, expired(at(5, 0, "a", "", 0, false)), expired(at(5, 1, "b", "", 0, true)))
	torn := append(begin, expired(at(5, 0, "a", "", 0, true)), expired(at(6, 0, "b", "", 0, true)))
	refused(t, "all of its keys", Leases(History{Events: whole}, nil, 0), "")
	refused(t, "one key stays", Leases(History{Events: torn}, nil, 0), `key "b" stayed`)
	start := &kvpb.RangeResponse{Revision: 4, Kvs: []*kvpb.KeyValue{begin[0].Kv, begin[1].Kv}}
	refused(t, "one key stays of a start", Leases(History{Start: start, Events: torn[3:4]}, nil, 0), `key "b" stayed`)
}

func TestLocks(t *testing.T) {
	const a, b, c = "/l/000000000000000a", "/l/000000000000000b", "/l/000000000000000c"
	h := History{Events: []*kvpb.Event{
		at(2, 0, a, "1", 10, true), at(3, 0, b, "1", 11, true), at(4, 0, c, "1", 12, true),
		at(5, 0, c, "", 0, true), at(6, 0, a, "", 0, false), at(6, 1, "/x", "1", 0, true),
	}}
	for _, k := range []struct {
		what, words string
		holds       []Hold
	}{
		{"one after another", "", []Hold{{1, "/l", 2, 10, 20}, {2, "/l", 3, 20, 30}}},
		{"in any order of the record", "", []Hold{{2, "/l", 3, 20, 30}, {1, "/l", 2, 10, 20}}},
		{"within the tolerance", "", []Hold{{1, "/l", 2, 10, 22}, {2, "/l", 3, 20, 30}}},
		{"both at once", "two hold", []Hold{{1, "/l", 2, 10, 26}, {2, "/l", 3, 20, 30}}},
		{"fences fall", "two hold", []Hold{{1, "/l", 2, 40, 50}, {2, "/l", 3, 20, 30}}},
		{"the same fence", "one fence", []Hold{{1, "/l", 2, 10, 15}, {2, "/l", 2, 20, 30}}},
		{"never the first", "nobody was first", []Hold{{3, "/l", 4, 20, 30}}},
		{"no contender", "nobody was first", []Hold{{3, "/l", 6, 20, 30}}},
	} {
		refused(t, k.what, Locks(h, k.holds, 5), k.words)
	}
}
