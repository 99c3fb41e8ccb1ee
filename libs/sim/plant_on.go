//go:build mutants

package sim

import (
	"github.com/kvorum/kvorum/libs/client/watchstate"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Plant has every simulated node and client make one mistake from now on; ""
// ends it. It panics in a program built without the tag mutants.
func Plant(b mutant.Bug) {
	mutant.Plant(b)
	watchstate.Plant(string(b))
}
