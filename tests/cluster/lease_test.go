package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/tests/harness"
)

// shell sends requests as a person at a shell does: JSON over plain NATS.
type shell struct {
	t  testing.TB
	nc *nats.Conn
}

// said is an answer's body; fields that it has not are empty.
type said struct {
	ID, TTL, Left, Revision, Deleted, Fence, Ahead, Key, Lease, Count string

	Held, More, Succeeded bool

	IDs    []string
	Keys   []struct{ Key string }
	Leases []struct{ ID, TTL, Left, Error string }
	Leader *struct {
		Key, Value, Lease string
		ModRevision       string `json:"mod_revision"`
		CreateRevision    string `json:"create_revision"`
	}
	header nats.Header
}

func shellOf(t testing.TB, cl *client.Client) *shell { return &shell{t, cl.Conn()} }

// ask sends one request and waits for its answer, for longer than the store
// takes for it. A request that a node took with it is KindTimeout.
func (s *shell) ask(subject, body string, header ...string) (*said, *api.Error) {
	s.t.Helper()
	m := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{}}
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	timeout := 5 * time.Second
	if _, wait, ok := strings.Cut(body, `"wait":"`); ok {
		wait, _, _ = strings.Cut(wait, `"`)
		if d, err := time.ParseDuration(wait); err == nil {
			timeout += d
		}
	}
	answer, err := s.nc.RequestMsg(m, timeout)
	if err != nil {
		return nil, api.Errorf(api.KindTimeout, "%s: %v", subject, err)
	}
	if e := api.ParseError(answer.Header, answer.Data); e != nil {
		return nil, e
	}
	out := &said{header: answer.Header}
	if strings.HasPrefix(string(answer.Data), "{") {
		if err := json.Unmarshal(answer.Data, out); err != nil {
			s.t.Errorf("%s answers %q: %v", subject, answer.Data, err)
		}
	}
	return out, nil
}

// must is ask for requests that succeed, in the end: what a leader's end cut
// short is asked again.
func (s *shell) must(subject, body string, header ...string) *said {
	s.t.Helper()
	for began := time.Now(); ; {
		out, err := s.ask(subject, body, header...)
		if err == nil {
			return out
		}
		if !err.Kind.Retryable() || time.Since(began) > time.Minute {
			s.t.Fatalf("%s %s: %v", subject, body, err)
		}
	}
}

// grant grants a lease and returns its id.
func (s *shell) grant(ttl time.Duration) string {
	s.t.Helper()
	return s.must("kv.lease.grant", fmt.Sprintf(`{"ttl":%q}`, ttl)).ID
}

// renew renews leases; what it returns is how each went, "" for well.
func (s *shell) renew(ids ...string) (errors []string, err *api.Error) {
	out, err := s.ask("kv.lease.keepalive", fmt.Sprintf(`{"ids":["%s"]}`, strings.Join(ids, `","`)))
	if err != nil {
		return nil, err
	}
	for _, l := range out.Leases {
		errors = append(errors, l.Error)
	}
	return errors, nil
}

// exists asks for a lease without renewing it.
func (s *shell) exists(lease string) bool {
	s.t.Helper()
	for {
		_, err := s.ask("kv.lease.info", fmt.Sprintf(`{"id":%q}`, lease))
		if err == nil || err.Kind == api.KindLeaseNotFound {
			return err == nil
		}
		if !err.Kind.Retryable() {
			s.t.Fatalf("lease %s: %v", lease, err)
		}
	}
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// A lease can be renewed as soon as it is granted: the answer to the grant comes
// no earlier.
func TestNewLeaseIsKnown(t *testing.T) {
	c := harness.Start(t, harness.Options{Nodes: 1})
	each(t, c, 5000, func(s *shell, i int) {
		lease := s.grant(time.Minute)
		if errs, err := s.renew(lease); err != nil || errs[0] != "" {
			t.Errorf("renewing lease %d: %v %v", i, errs, err)
		}
	})
}

// A lease from its grant to its revocation, as the shell sees it.
func TestLease(t *testing.T) {
	c := harness.Start(t, harness.Options{Fanouts: 1})
	ctx := bounded(t)
	cl := c.Client()
	s := shellOf(t, cl)
	before := s.must("kv.lease.list", "{}").Revision

	chosen := s.must("kv.lease.grant", `{"id":"00000000000f7f3a","ttl":"1m"}`)
	if chosen.ID != "00000000000f7f3a" || chosen.TTL != "1m0s" || chosen.Revision != before {
		t.Errorf("a grant with an id: %+v, the store was at %s", chosen, before)
	}
	other := s.must("kv.lease.grant", `{"ttl":"90s"}`)
	if len(other.ID) != 16 || other.ID == chosen.ID {
		t.Errorf("a grant without an id gave %q", other.ID)
	}
	again := s.must("kv.lease.grant", `{"ttl":"90s"}`, api.HeaderMsgID, "grant-1")
	if repeated := s.must("kv.lease.grant", `{"ttl":"90s"}`, api.HeaderMsgID, "grant-1"); repeated.ID != again.ID {
		t.Errorf("the repetition granted %s, the first %s", repeated.ID, again.ID)
	}

	for _, key := range []string{"b", "c", "a"} {
		put := s.must("kv.put.leased."+key, key, api.HeaderLease, chosen.ID)
		if put.header.Get(api.HeaderLease) != chosen.ID {
			t.Errorf("the put's lease is %q", put.header.Get(api.HeaderLease))
		}
	}
	info := s.must("kv.lease.info", `{"id":"00000000000f7f3a","keys":true}`)
	if len(info.Keys) != 3 || info.Keys[0].Key != "/leased/a" || info.TTL != "1m0s" {
		t.Errorf("info: %+v", info)
	}
	if left, err := time.ParseDuration(info.Left); err != nil || left <= 0 || left > time.Minute {
		t.Errorf("%q is left", info.Left)
	}
	s.must("kv.put.leased.b", "moved", api.HeaderLease, other.ID)
	s.must("kv.delete.leased.c", "")
	if info := s.must("kv.lease.info", `{"id":"00000000000f7f3a","keys":true}`); len(info.Keys) != 1 {
		t.Errorf("after a key moved and another went: %+v", info.Keys)
	}
	s.must("kv.put.leased.b", "back", api.HeaderLease, chosen.ID)
	s.must("kv.put.leased.c", "back", api.HeaderLease, chosen.ID)

	kept := s.must("kv.lease.keepalive", `{"ids":["00000000000f7f3a","000000000000dead","`+other.ID+`"]}`)
	if l := kept.Leases; len(l) != 3 || l[0].Error != "" || l[0].TTL != "1m0s" || l[1].Error != string(api.KindLeaseNotFound) || l[2].TTL != "1m30s" || l[2].Error != "" {
		t.Errorf("keep-alive: %+v", l)
	}
	list := s.must("kv.lease.list", "{}")
	if len(list.IDs) != 3 || list.IDs[0] != chosen.ID {
		t.Errorf("list: %+v", list.IDs)
	}
	if page := s.must("kv.lease.list", `{"after":"00000000000f7f3a","limit":1}`); len(page.IDs) != 1 || page.IDs[0] != list.IDs[1] || !page.More {
		t.Errorf("the second page of one: %+v", page)
	}

	seen := watch(t, ctx, c, client.Prefix("/leased/"))
	revoked := s.must("kv.lease.revoke", `{"id":"00000000000f7f3a"}`)
	if revoked.Deleted != "3" {
		t.Errorf("revoked: %+v", revoked)
	}
	c.Until("the deletes", func(context.Context) bool { return len(seen.snapshot()) == 3 })
	for i, e := range seen.snapshot() {
		want := []string{"/leased/a", "/leased/b", "/leased/c"}[i]
		if !e.Delete || e.KV.Key != want || e.Expired || fmt.Sprint(e.Position.Revision) != revoked.Revision || e.Position.Sub != int64(i) {
			t.Errorf("event %d: %+v, want the delete of %s at %s", i, e, want, revoked.Revision)
		}
	}
	if empty := s.must("kv.lease.revoke", fmt.Sprintf(`{"id":%q}`, again.ID)); empty.Deleted != "0" || empty.Revision != revoked.Revision {
		t.Errorf("a lease without keys made a revision: %+v after %s", empty, revoked.Revision)
	}
	if s.exists(chosen.ID) || !s.exists(other.ID) {
		t.Error("the wrong lease is gone")
	}
	sameDigests(t, c)
}
