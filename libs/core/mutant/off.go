//go:build !mutants

package mutant

// Enabled tells whether this program was built with mistakes in it.
const Enabled = false

// Is reports whether a mistake is to be made: never.
func Is(Bug) bool { return false }

// Plant fails: there is nothing to plant in this program.
func Plant(Bug) { panic("mutant: this program was built without the tag mutants") }
