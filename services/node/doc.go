// Package node is the storage node: it answers requests on the client bus, takes
// part in Raft over the peer bus, applies committed commands to the state
// machine and keeps both on disk. Run starts one and serves until its context
// ends.
//
// Goroutines, and what each of them owns:
//
//	handlers   parse requests, one goroutine a subject; own nothing
//	consensus  the replica and the clock of leases (consensus.go, leases.go)
//	appender   the Raft log: one durable write at a time (appender.go)
//	applier    the state machine: applies, answers writes, feeds (applier.go)
//	readers    serve reads from published states (readers.go)
//	locks      the requests that wait for a lock or a leader (locks.go)
//	keeper     checkpoints, truncation, compaction (keeper.go)
//	watchers   of disk space, digests and checksums (space.go, digests.go, scrub.go)
//
// A request passes from a handler to consensus, where a write waits for its
// entry and a read for its quorum round, and is answered by the applier or by a
// reader. Every request is answered once, at the latest after requestTimeout, or
// that much after the time that it wanted to wait for a lock.
//
// The first storage error stops the node: nothing is acknowledged after it. A
// node whose data is damaged becomes one that answers for its status alone, until
// it can begin anew from the others' data (damaged.go).
package node
