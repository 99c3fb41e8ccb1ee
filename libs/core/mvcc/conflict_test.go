package mvcc

import (
	"math/rand/v2"
	"testing"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// TestConflictsAgainstPairs compares with looking at every pair of operations.
func TestConflictsAgainstPairs(t *testing.T) {
	g := &generator{Rand: rand.New(rand.NewPCG(7, 7)), revision: 9}
	refused := 0
	for range 20_000 {
		ops := g.ops(2)
		_, _, err := writesOf(ops)
		if want := pairConflict(ops); (err != nil) != want {
			t.Fatalf("%v: %v, want a conflict: %v", ops, err, want)
		}
		if err != nil {
			refused++
		}
	}
	if refused < 1000 || refused > 19_000 {
		t.Errorf("%d of 20000 refused: the test does not say much", refused)
	}
}

func pairConflict(ops []*kvpb.RequestOp) bool {
	for i, a := range ops {
		if nested := a.GetTxn(); nested != nil && (pairConflict(nested.Success) || pairConflict(nested.Failure)) {
			return true
		}
		for _, b := range ops[:i] {
			putsA, deletesA := touched(a)
			putsB, deletesB := touched(b)
			for _, key := range someKeys {
				if putsA[key] && (putsB[key] || deletesB[key]) || putsB[key] && deletesA[key] {
					return true
				}
			}
		}
	}
	return false
}

// touched are the keys that an operation may put and may delete.
func touched(op *kvpb.RequestOp) (puts, deletes map[string]bool) {
	puts, deletes = map[string]bool{}, map[string]bool{}
	if put := op.GetPut(); put != nil {
		puts[string(put.Key)] = true
	}
	for _, key := range someKeys {
		if d := op.GetDeleteRange(); d != nil && contains(d.Key, d.RangeEnd, []byte(key)) {
			deletes[key] = true
		}
	}
	for _, inner := range append(append([]*kvpb.RequestOp(nil), op.GetTxn().GetSuccess()...), op.GetTxn().GetFailure()...) {
		p, d := touched(inner)
		for _, key := range someKeys {
			puts[key] = puts[key] || p[key]
			deletes[key] = deletes[key] || d[key]
		}
	}
	return puts, deletes
}
