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
// not what this project exists for. What makes that cheap is that all events
// are known: they tell the store at every revision, and so by its revision the
// place of every answer; the search is over short windows, and its state is two
// numbers.
//
// What a recorder has to do: put values that are unique, record every request
// that may have reached the cluster, those without an answer as Unknown, and
// read the events when all is over. A long run is judged in parts: the next part
// begins with Start, the state that the last one ended with, and takes along
// what was Unknown in it.
package check
