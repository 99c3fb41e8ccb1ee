package mvcc

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Whatever is known is the newest version, through several generations, with
// keys of all lengths and with deletions.
func TestHotKnowsTheNewest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h, newest := newHot(), map[string]*version{}
	known, rotations := 0, 0
	for i := range 400_000 {
		n := random.IntN(150_000)
		key := fmt.Sprintf("/key/%0*d", n%40, n)
		if rec, exists, ok := h.get([]byte(key)); ok {
			known++
			want := newest[key]
			if want == nil || exists == want.deleted || exists && !sameHead(rec, want.rec) {
				t.Fatalf("after %d writes, %s is %+v (%v), want %+v", i, key, rec, exists, want)
			}
		}
		v := &version{key: []byte(key), deleted: random.IntN(10) == 0, rec: record{
			mod: int64(i), create: int64(i / 2), version: 1 + int64(i%7), lease: random.Int64(), ttl: int64(i % 3), sub: uint32(i % 5), size: uint32(i),
		}}
		before := len(h.young.list)
		h.set(v)
		newest[key] = v
		if len(h.young.list) < before {
			rotations++
		}
		if len(h.young.list) > hotBytes || len(h.old.list) > hotBytes {
			t.Fatalf("a generation has %d and %d bytes", len(h.young.list), len(h.old.list))
		}
	}
	if known < 50_000 || rotations < 2 {
		t.Fatalf("only %d of 400000 lookups were known, over %d rotations", known, rotations)
	}
}

func sameHead(a, b record) bool {
	return a.mod == b.mod && a.create == b.create && a.version == b.version && a.lease == b.lease && a.ttl == b.ttl && a.sub == b.sub && a.size == b.size
}
