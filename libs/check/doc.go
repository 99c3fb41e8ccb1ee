// Package check judges recorded histories: what clients of a cluster asked and
// were told, what its watches delivered, and what was committed. The simulator
// and the torture of real processes record the same and are judged by the same
// code.
//
// A judgement needs no knowledge of how the cluster works: it holds what clients
// saw against what the documentation promises (libs/api/PROTOCOL.md). Every
// function returns nil or an error that names the operations in question.
//
// Linearizability is judged by porcupine (github.com/anishathalye/porcupine), an
// established checker: searching for a legal order of concurrent operations is
// not what this project exists for.
package check
