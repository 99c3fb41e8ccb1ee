// Package sim runs a whole cluster in one goroutine, in virtual time: real
// consensus, state machine, lease clock and lock registry over stores and a
// network in memory, with clients that hold leases and locks, a nemesis that
// kills, pauses and cuts off nodes, and a judge that checks the history.
//
// What it shows, for the seeds that are run:
//   - No lease and no key ends before its time to live has passed since the
//     last renewal that its client saw acknowledged was sent; a client that
//     renews in time never loses its lease, whatever happens to nodes.
//   - What nobody renews ends within a bounded time once the cluster is whole.
//   - A lock has one holder at a time, also as its clients see it, who go by
//     their own clocks; a write that carries a fence is let through only while
//     that fence is the holder's.
//   - Acknowledged revisions never go back, and nodes that have applied the same
//     have the same state and the same timers.
//
// A run is a function of its seed, if raft's randomness is too: a caller sets
// crypto/rand's source before. So one process runs one simulation at a time.
//
// The loop around the parts is a small one of its own, in the order of the
// storage node's: the node's goroutines and its bus are proved elsewhere.
// Planted mistakes (Bugs) show that the judge would see them.
package sim
