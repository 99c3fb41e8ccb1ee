package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/tests/harness"
)

// leaseBadInputs are for a store with two leases, the first of which holds the
// lock /locks/a and leads /e, both with a fence that is not 1.
func leaseBadInputs(holder, stranger string) []badInput {
	const dead = "000000000000dead"
	h := func(kv ...string) nats.Header { return nats.Header{kv[0]: kv[1:]} }
	body := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	lease := func(id string) string { return body(`{"lease":%q}`, id) }
	many := body(`{"ids":[%s]}`, strings.TrimSuffix(strings.Repeat(`"`+holder+`",`, api.MaxKeepAliveIDs+1), ","))
	both := nats.Header{api.HeaderTTL: {"1s"}, api.HeaderLease: {holder}}
	return []badInput{
		{"grant again", "kv.lease.grant", nil, body(`{"id":%q,"ttl":"1m"}`, holder), api.KindLeaseExists, holder},
		{"grant for too short", "kv.lease.grant", nil, `{"ttl":"499ms"}`, api.KindBadRequest, "500"},
		{"grant for too long", "kv.lease.grant", nil, `{"ttl":"9000000001s"}`, api.KindBadRequest, "9000000000000"},
		{"grant for less than nothing", "kv.lease.grant", nil, `{"ttl":"-1s"}`, api.KindBadRequest, "500"},
		{"grant for no time", "kv.lease.grant", nil, `{}`, api.KindBadRequest, "500"},
		{"grant for a word", "kv.lease.grant", nil, `{"ttl":"soon"}`, api.KindBadRequest, "duration"},
		{"grant with an unknown field", "kv.lease.grant", nil, `{"ttl":"1m","colour":"red"}`, api.KindBadRequest, "colour"},
		{"revoke the dead", "kv.lease.revoke", nil, body(`{"id":%q}`, dead), api.KindLeaseNotFound, dead},
		{"revoke nothing", "kv.lease.revoke", nil, `{}`, api.KindBadRequest, "id"},
		{"revoke a number", "kv.lease.revoke", nil, `{"id":12}`, api.KindBadRequest, ""},
		{"info of the dead", "kv.lease.info", nil, body(`{"id":%q}`, dead), api.KindLeaseNotFound, dead},
		{"renew nothing", "kv.lease.keepalive", nil, `{"ids":[]}`, api.KindBadRequest, "ids"},
		{"renew too many", "kv.lease.keepalive", nil, many, api.KindTooLarge, "1000"},
		{"list less than nothing", "kv.lease.list", nil, `{"limit":-1}`, api.KindBadRequest, "-1"},
		{"operation of no lease", "kv.lease.prolong", nil, "", api.KindUnknownOperation, "prolong"},

		{"put under the dead", "kv.put.k", h(api.HeaderLease, dead), "x", api.KindLeaseNotFound, dead},
		{"put for too short", "kv.put.k", h(api.HeaderTTL, "99ms"), "x", api.KindBadRequest, "100"},
		{"put for no time", "kv.put.k", h(api.HeaderTTL, "0s"), "x", api.KindBadRequest, "100"},
		{"put for less than nothing", "kv.put.k", h(api.HeaderTTL, "-5s"), "x", api.KindBadRequest, "100"},
		{"put for too long", "kv.put.k", h(api.HeaderTTL, "9000000001s"), "x", api.KindBadRequest, "9000000000000"},
		{"put for a word", "kv.put.k", h(api.HeaderTTL, "soon"), "x", api.KindBadRequest, "soon"},
		{"put for microseconds", "kv.put.k", h(api.HeaderTTL, "1500us"), "x", api.KindBadRequest, "1500us"},
		{"put under a lease and for a time", "kv.put.k", both, "x", api.KindBadRequest, "lease"},
		{"get for a time", "kv.get.k", h(api.HeaderTTL, "1s"), "", api.KindBadRequest, api.HeaderTTL},
		{"txn for too short", "kv.txn", nil, `{"then":[{"put":{"key":"/k","value":"x","ttl":"1ms"}}]}`, api.KindBadRequest, "100"},
		{"lock compared as greater", "kv.txn", nil, `{"if":[{"lock":"/locks/a","op":">","fence":"1"}],"then":[]}`, api.KindBadRequest, ""},

		{"lock for nobody", "kv.lock.locks.a", nil, `{}`, api.KindBadRequest, "ttl"},
		{"lock for two", "kv.lock.locks.a", nil, body(`{"lease":%q,"ttl":"5s"}`, stranger), api.KindBadRequest, "either"},
		{"lock by the dead", "kv.lock.locks.a", nil, lease(dead), api.KindLeaseNotFound, dead},
		{"lock twice", "kv.lock.locks.a", nil, lease(holder), api.KindAlreadyHeld, holder},
		{"lock for too short", "kv.lock.locks.a", nil, `{"ttl":"1ms"}`, api.KindBadRequest, "500"},
		{"lock and wait for ever", "kv.lock.locks.a", nil, body(`{"lease":%q,"wait":"61s"}`, stranger), api.KindBadRequest, "60000"},
		{"lock by two names", "kv.lock.locks.a", nil, body(`{"name":"/b","lease":%q}`, stranger), api.KindBadRequest, "name"},
		{"lock by a bad name", "kv.lock.%41", nil, lease(stranger), api.KindBadKey, ""},
		{"unlock by a stranger", "kv.unlock.locks.a", nil, lease(stranger), api.KindNotHeld, stranger},
		{"unlock by the dead", "kv.unlock.locks.a", nil, lease(dead), api.KindNotHeld, dead},
		{"unlock of the past", "kv.unlock.locks.a", nil, body(`{"lease":%q,"fence":"1"}`, holder), api.KindNotHeld, "fence"},
		{"unlock by nobody", "kv.unlock.locks.a", nil, `{}`, api.KindBadRequest, "lease"},

		{"campaign for nothing", "kv.elect.campaign", nil, lease(stranger), api.KindBadKey, "name"},
		{"campaign twice", "kv.elect.campaign", nil, body(`{"name":"/e","lease":%q,"value":"again"}`, holder), api.KindAlreadyHeld, holder},
		{"campaign of the dead", "kv.elect.campaign", nil, body(`{"name":"/e","lease":%q}`, dead), api.KindLeaseNotFound, dead},
		{"proclaim by a stranger", "kv.elect.proclaim", nil, body(`{"name":"/e","lease":%q,"fence":"7","value":"me"}`, stranger), api.KindNotHeld, stranger},
		{"proclaim of the past", "kv.elect.proclaim", nil, body(`{"name":"/e","lease":%q,"fence":"1","value":"me"}`, holder), api.KindNotHeld, holder},
		{"resign without leading", "kv.elect.resign", nil, body(`{"name":"/e","lease":%q}`, stranger), api.KindNotHeld, stranger},
		{"leader with patience", "kv.elect.leader", nil, `{"name":"/e","wait":"1s"}`, api.KindBadRequest, "observe"},
		{"observe the future", "kv.elect.observe", nil, `{"name":"/e","after":"-1"}`, api.KindBadRequest, "-1"},
		{"observe for ever", "kv.elect.observe", nil, `{"name":"/e","wait":"61s"}`, api.KindBadRequest, "60000"},
		{"operation of no election", "kv.elect.depose", nil, "", api.KindUnknownOperation, "depose"},
	}
}

// Every bad request about leases, locks and elections is answered with its kind
// and changes nothing.
func TestLeaseBadInput(t *testing.T) {
	c := harness.Start(t, harness.Options{})
	cl := c.Client()
	s := shellOf(t, cl)
	holder := s.must("kv.lease.grant", `{"id":"00000000000f7f3a","ttl":"10m"}`).ID
	stranger := s.must("kv.lease.grant", `{"id":"00000000000f7f3b","ttl":"10m"}`).ID
	s.must("kv.put.k", "kept")
	locked := s.must("kv.lock.locks.a", fmt.Sprintf(`{"lease":%q}`, holder))
	led := s.must("kv.elect.campaign", fmt.Sprintf(`{"name":"/e","lease":%q,"value":"me"}`, holder))
	if !locked.Held || !led.Held || locked.Fence == "1" {
		t.Fatalf("%+v %+v", locked, led)
	}
	before := s.must("kv.lease.list", "{}")
	for _, in := range leaseBadInputs(holder, stranger) {
		t.Run(in.name, func(t *testing.T) { refused(t, cl.Conn(), in) })
	}
	after := s.must("kv.lease.list", "{}")
	if after.Revision != before.Revision || fmt.Sprint(after.IDs) != fmt.Sprint(before.IDs) {
		t.Errorf("the store went from revision %s with leases %v to %s with %v", before.Revision, before.IDs, after.Revision, after.IDs)
	}
	if l := s.must("kv.elect.leader", `{"name":"/e"}`).Leader; l == nil || l.Value != "me" || l.CreateRevision != led.Fence {
		t.Errorf("the leader is %+v", l)
	}
}
