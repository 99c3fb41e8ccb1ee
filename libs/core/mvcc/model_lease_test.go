package mvcc

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
)

// The model's leases, times to live and locks. Whatever can be is derived from
// the keys of the state.

func (t *modelTxn) grant(r *kvpb.LeaseGrantRequest) (*kvpb.LeaseGrantResponse, *api.Error) {
	if _, found := t.m.leases[r.Id]; found {
		return nil, &api.Error{Kind: api.KindLeaseExists}
	}
	t.m.leases[r.Id] = modelLease{r.TtlMillis, t.ts}
	return &kvpb.LeaseGrantResponse{Revision: t.m.revision(), Id: r.Id, TtlMillis: r.TtlMillis}, nil
}

func (t *modelTxn) endLease(id int64, expired bool) *kvpb.LeaseRevokeResponse {
	delete(t.m.leases, id)
	resp := &kvpb.LeaseRevokeResponse{}
	for _, k := range t.now.attached(id) {
		t.remove(k, expired)
		resp.Deleted++
	}
	resp.Revision = t.revision()
	return resp
}

func (t *modelTxn) expire(r *command.Expire) *kvpb.LeaseRevokeResponse {
	if l, found := t.m.leases[r.Lease]; found && uint64(l.granted) == r.Granted {
		return t.endLease(r.Lease, true)
	}
	resp := &kvpb.LeaseRevokeResponse{}
	for _, k := range r.Keys {
		if kv := t.now[string(k.Key)]; kv.GetTtlMillis() != 0 && kv.ModRevision == k.ModRevision {
			t.remove(string(k.Key), true)
			resp.Deleted++
		}
	}
	resp.Revision = t.revision()
	return resp
}

func (s state) attached(id int64) (keys []string) {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if s[k].Lease == id {
			keys = append(keys, k)
		}
	}
	return keys
}

var leaseDigits = regexp.MustCompile("^[0-9a-f]{16}$")

func (s state) contenders(name []byte) (queue []*kvpb.KeyValue) {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if lease, found := strings.CutPrefix(k, string(name)+"/"); found && leaseDigits.MatchString(lease) {
			queue = append(queue, s[k])
		}
	}
	slices.SortStableFunc(queue, func(a, b *kvpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) })
	return queue
}

func (s state) fence(name []byte) int64 {
	if queue := s.contenders(name); len(queue) > 0 {
		return queue[0].CreateRevision
	}
	return 0
}

// timersOf are those of some leases and a state.
func timersOf(leases map[int64]modelLease, s state) timers {
	live := timers{}
	for id, l := range leases {
		live.add([]Timer{{Lease: id, TTLMillis: l.ttl, Generation: uint64(l.granted)}})
	}
	for _, kv := range s {
		if kv.TtlMillis != 0 {
			live.add([]Timer{{Key: kv.Key, TTLMillis: kv.TtlMillis, Generation: uint64(kv.ModRevision)}})
		}
	}
	return live
}
