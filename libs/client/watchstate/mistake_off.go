//go:build !mutants

package watchstate

// mistaken tells whether to make a mistake, which tests plant to see that it is
// found: never in a program built without the tag mutants.
func mistaken(string) bool { return false }
