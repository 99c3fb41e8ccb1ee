package fanout_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

const ms = fanout.Instant(1e6)

func granted(term, n uint64) *kvpb.GrantResponse {
	return &kvpb.GrantResponse{Granted: true, Epoch: &kvpb.Epoch{Term: term, N: n}, ForMillis: 500}
}

func TestGrant(t *testing.T) {
	type answer struct {
		sent fanout.Instant
		r    *kvpb.GrantResponse
	}
	denied := &kvpb.GrantResponse{Holder: "other"}
	for name, c := range map[string]struct {
		answers []answer
		now     fanout.Instant
		want    string // epoch; empty: not held
	}{
		"nothing":                         {nil, 0, ""},
		"granted":                         {[]answer{{100 * ms, granted(1, 1)}}, 200 * ms, "1.1"},
		"counts from sending":             {[]answer{{100 * ms, granted(1, 1)}}, 595 * ms, ""},
		"answer arrives after the end":    {[]answer{{100 * ms, granted(1, 1)}}, 700 * ms, ""},
		"renewed":                         {[]answer{{100 * ms, granted(1, 1)}, {250 * ms, granted(1, 1)}}, 700 * ms, "1.1"},
		"answers swapped":                 {[]answer{{250 * ms, granted(1, 1)}, {100 * ms, granted(1, 1)}}, 700 * ms, "1.1"},
		"denied":                          {[]answer{{100 * ms, denied}}, 110 * ms, ""},
		"taken away":                      {[]answer{{100 * ms, granted(1, 1)}, {250 * ms, denied}}, 260 * ms, ""},
		"denied before, arrives after":    {[]answer{{250 * ms, granted(1, 1)}, {100 * ms, denied}}, 260 * ms, "1.1"},
		"new leader":                      {[]answer{{100 * ms, granted(1, 7)}, {250 * ms, granted(2, 1)}}, 700 * ms, "2.1"},
		"old leader, late":                {[]answer{{250 * ms, granted(2, 1)}, {300 * ms, granted(1, 7)}}, 780 * ms, ""},
		"new epoch of an earlier request": {[]answer{{250 * ms, granted(1, 1)}, {200 * ms, granted(1, 2)}}, 680 * ms, "1.2"},
		"... ends earlier":                {[]answer{{250 * ms, granted(1, 1)}, {200 * ms, granted(1, 2)}}, 695 * ms, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := fanout.NewGrant("me")
			for _, a := range c.answers {
				g.Answer(a.sent, a.r)
			}
			got := ""
			if epoch, ok := g.Held(c.now); ok {
				got = epoch.String()
			}
			if got != c.want {
				t.Errorf("holds %q, want %q", got, c.want)
			}
			if held := g.Request(c.now).Held != nil; c.want != "" && !held {
				t.Error("the request does not show the grant")
			}
		})
	}
}

func TestGrantReleased(t *testing.T) {
	g := fanout.NewGrant("me")
	g.Answer(0, granted(1, 1))
	r := g.Release(10 * ms)
	if !r.Release || r.Replica != "me" || r.Held.GetTerm() != 1 {
		t.Errorf("release says %v", r)
	}
	g.Answer(5*ms, granted(1, 1)) // was under way
	if _, ok := g.Held(10 * ms); ok {
		t.Error("held after the release")
	}
}

func put(key string, revision, sub int64, last bool) *kvpb.Event {
	return &kvpb.Event{Kv: &kvpb.KeyValue{Key: []byte(key), Value: []byte("v"), CreateRevision: revision,
		ModRevision: revision, Version: 1, Lease: 0xf7f3a}, Sub: sub, Last: last}
}
