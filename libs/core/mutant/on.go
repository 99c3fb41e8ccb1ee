//go:build mutants

package mutant

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Enabled tells whether this program was built with mistakes in it.
const Enabled = true

var planted atomic.Pointer[Bug]

// Is reports whether a mistake is to be made.
func Is(b Bug) bool {
	p := planted.Load()
	return p != nil && *p == b
}

// Plant turns one mistake on, and the one before off; "" turns all off. It
// panics where there is no such mistake.
func Plant(b Bug) {
	if b != "" && !slices.Contains(All, b) {
		panic(fmt.Sprintf("mutant: there is no %q", b))
	}
	planted.Store(&b)
}
