// Package sim runs a whole cluster in one goroutine, in virtual time: the
// storage node's own decisions (libs/core/member and what that drives) over
// stores and a network in memory, the watch fan-out's, and clients that read,
// write, watch, hold leases and locks. A nemesis kills, stops and cuts off
// nodes, takes the power from them, makes networks and disks slow, full or
// wrong, and lets clocks drift; a judge watches. Then everything, or a quorum
// only, is healed, and the cluster must go on.
//
// What it shows, for the seeds that are run:
//   - What is acknowledged is on the disks of a majority, and is never lost,
//     whatever happens to processes and to the disks of a minority.
//   - One leader in a term; the same entries everywhere; the same state after
//     the same entries, however they are gathered, repeated or copied as a
//     snapshot; revisions and commit indexes never go back; no checkpoint claims
//     what is not durable.
//   - Histories are linearizable and watches complete (libs/check).
//   - No lease and no key ends before its time to live has passed since the
//     last renewal that its client saw acknowledged was sent; a client that
//     renews in time never loses its lease, whatever happens to nodes. What
//     nobody renews ends within a bounded time once the cluster is whole.
//   - A lock has one holder at a time, also as its clients see it, who go by
//     their own clocks; a write that carries a fence is let through only while
//     that fence is the holder's.
//   - Damaged data is not served: the node stops, and begins anew.
//   - Within a bounded time after healing there is a leader, writes are
//     acknowledged, and every node has caught up.
//
// A run is a function of its Options, which Draw makes of a seed: the same give
// the same Report, down to a digest of every message. Chance of raft's own comes
// from crypto/rand, whose source Run exchanges: one run at a time in a process.
//
// What it does not show: what Badger, NATS, the kernel and the machine do. The
// conformance suites and the tests with real processes are about those.
package sim
