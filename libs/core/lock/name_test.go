package lock_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/lock"
)

func TestContenders(t *testing.T) {
	for _, c := range []struct {
		key, name string
		lease     int64
	}{
		{"/locks/job/00000000000f7f3a", "/locks/job", 0xf7f3a},
		{"a/ffffffffffffffff", "a", -1},
		{"a/7fffffffffffffff", "a", math.MaxInt64},
		{"//0000000000000001", "/", 1},
		{"a/0000000000000001/0000000000000002", "a/0000000000000001", 2},
		{"\xff\x00/0123456789abcdef", "\xff\x00", 0x0123456789abcdef},
	} {
		name, lease, ok := lock.Contender([]byte(c.key))
		if !ok || string(name) != c.name || lease != c.lease {
			t.Errorf("%q is %q, %x, %v", c.key, name, lease, ok)
		}
		if key := lock.Key([]byte(c.name), c.lease); string(key) != c.key {
			t.Errorf("%q, %x is %q", c.name, c.lease, key)
		}
	}
	for _, key := range []string{"", "a", "/0000000000000001", "a/000000000000001", "a/00000000000000001", "a0000000000000001",
		"a/000000000000000A", "a/000000000000000g", "a/0000000000000000", "a/0000000000000001/", "a/ 000000000000001"} {
		if name, lease, ok := lock.Contender([]byte(key)); ok {
			t.Errorf("%q is taken as %q, %x", key, name, lease)
		}
	}
}

func FuzzContender(f *testing.F) {
	f.Add([]byte("/locks/job/00000000000f7f3a"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if name, lease, ok := lock.Contender(key); ok && !bytes.Equal(lock.Key(name, lease), key) {
			t.Fatalf("%q is taken as %q, %x", key, name, lease)
		}
	})
}

func TestChecks(t *testing.T) {
	long := []byte(strings.Repeat("n", api.MaxKeyBytes-17))
	name := []byte("n")
	for what, c := range map[string]struct {
		err  error
		want api.Kind
	}{
		"lock":                     {lock.CheckLock(&kvpb.LockRequest{Name: long, Lease: -1, WaitMillis: api.MaxWaitMillis}), ""},
		"lock with the least ttl":  {lock.CheckLock(&kvpb.LockRequest{Name: name, TtlMillis: api.MinLeaseMillis}), ""},
		"lock with the most ttl":   {lock.CheckLock(&kvpb.LockRequest{Name: name, TtlMillis: api.MaxLeaseMillis}), ""},
		"no name":                  {lock.CheckLock(&kvpb.LockRequest{Lease: 1}), api.KindBadKey},
		"long name":                {lock.CheckLock(&kvpb.LockRequest{Name: append(long, 'n'), Lease: 1}), api.KindBadKey},
		"no lease":                 {lock.CheckLock(&kvpb.LockRequest{Name: name}), api.KindBadRequest},
		"lease and ttl":            {lock.CheckLock(&kvpb.LockRequest{Name: name, Lease: 1, TtlMillis: 1000}), api.KindBadRequest},
		"short ttl":                {lock.CheckLock(&kvpb.LockRequest{Name: name, TtlMillis: api.MinLeaseMillis - 1}), api.KindBadRequest},
		"long ttl":                 {lock.CheckLock(&kvpb.LockRequest{Name: name, TtlMillis: api.MaxLeaseMillis + 1}), api.KindBadRequest},
		"negative ttl":             {lock.CheckLock(&kvpb.LockRequest{Name: name, TtlMillis: -1}), api.KindBadRequest},
		"negative wait":            {lock.CheckLock(&kvpb.LockRequest{Name: name, Lease: 1, WaitMillis: -1}), api.KindBadRequest},
		"long wait":                {lock.CheckLock(&kvpb.LockRequest{Name: name, Lease: 1, WaitMillis: api.MaxWaitMillis + 1}), api.KindBadRequest},
		"unlock":                   {lock.CheckUnlock(&kvpb.UnlockRequest{Name: name, Lease: 1}), ""},
		"unlock without a name":    {lock.CheckUnlock(&kvpb.UnlockRequest{Lease: 1}), api.KindBadKey},
		"unlock without a lease":   {lock.CheckUnlock(&kvpb.UnlockRequest{Name: name, Fence: 3}), api.KindBadRequest},
		"negative fence":           {lock.CheckUnlock(&kvpb.UnlockRequest{Name: name, Lease: 1, Fence: -1}), api.KindBadRequest},
		"proclaim":                 {lock.CheckProclaim(&kvpb.ProclaimRequest{Name: name, Lease: 1, Fence: 3}), ""},
		"proclaim without a fence": {lock.CheckProclaim(&kvpb.ProclaimRequest{Name: name, Lease: 1}), api.KindBadRequest},
		"proclaim without a lease": {lock.CheckProclaim(&kvpb.ProclaimRequest{Name: name, Fence: 3}), api.KindBadRequest},
		"leader":                   {lock.CheckLeader(&kvpb.LeaderRequest{Name: name, After: 3}), ""},
		"leader without a name":    {lock.CheckLeader(&kvpb.LeaderRequest{}), api.KindBadKey},
		"leader after -1":          {lock.CheckLeader(&kvpb.LeaderRequest{Name: name, After: -1}), api.KindBadRequest},
		"leader with a long wait":  {lock.CheckLeader(&kvpb.LeaderRequest{Name: name, WaitMillis: 60_001}), api.KindBadRequest},
	} {
		if got := api.KindOf(c.err); got != c.want {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}
}
