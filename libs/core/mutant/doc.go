// Package mutant plants mistakes into the code that is shipped, so that tests
// can show that they would be found. It does nothing unless a program is built
// with the tag mutants: Is is then constant, and the compiler removes what
// stands behind it.
//
// One mistake is on at a time, for the whole process:
//
//	if mutant.Is(mutant.AckBeforeSync) {
//		... // what a wrong implementation would do
//	}
//
// Each has a line in docs/track-record.md: what it does, where it was seen in
// the field, and what finds it here.
package mutant

// Bug names one mistake.
type Bug string
