//go:build mutants

package sim

import (
	"os"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/core/mutant"
)

func TestKVMutants(t *testing.T) {
	for _, name := range strings.Split(os.Getenv("KVMUT"), ",") {
		mutant.Plant(mutant.Bug(name))
		found := false
		for seed := uint64(1); seed < 60 && !found; seed++ {
			o := Draw(seed, 30_000)
			o.Leases, o.Locks, o.Watchers = 0, 0, 0
			o.KV = max(o.KV, 2)
			if _, err := Run(o); err != nil {
				s := err.Error()
				if len(s) > 500 {
					s = s[:500]
				}
				t.Log(name, s)
				found = true
			}
		}
		if !found {
			t.Error(name, "NOT FOUND")
		}
	}
	mutant.Plant("")
}
