// Package watch is the watch fan-out: a process that follows committed revisions
// and publishes every event once on the client bus, where NATS multiplies it,
// and that serves kv.history and kv.sync. Package core/fanout holds the rules;
// this one performs their effects.
//
// Any number of replicas may run. The Raft leader grants publishing to one of
// them, half a second at a time; the others follow, a tenth of a second behind
// and quiet as long as they hear its progress, and are ready. Only the
// holder answers requests, on the connection that it publishes on, so that
// whatever an answer speaks of was published before it.
//
// One goroutine owns a replica's state. Requests are answered by others, from
// an immutable snapshot that is exchanged after each published batch.
//
// It guarantees what the package documentation of core/fanout says, while the
// monotonic clock goes on: a process that was stopped looks at the clock before
// it publishes the next batch. It keeps nothing on disk. A plain subscriber can
// see repeats after a takeover, and misses what happened while no replica ran;
// one that follows the position rules does not.
package watch
