//go:build mutants

package watchstate

import "sync/atomic"

var planted atomic.Pointer[string]

// Plant has every watch make one mistake, by its name in libs/core/mutant, and
// the one before no more; any other name plants none.
func Plant(name string) { planted.Store(&name) }

func mistaken(name string) bool {
	p := planted.Load()
	return p != nil && *p == name
}
