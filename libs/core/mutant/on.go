//go:build mutants

package mutant

import "sync/atomic"

// Enabled tells whether this program was built with mistakes in it.
const Enabled = true

var planted atomic.Pointer[Bug]

// Is reports whether a mistake is to be made.
func Is(b Bug) bool {
	p := planted.Load()
	return p != nil && *p == b
}

// Plant turns one mistake on, and the one before off; "" turns all off.
func Plant(b Bug) { planted.Store(&b) }
