// Package replica is one node's part in consensus: raft's RawNode behind a step
// function. It does no I/O, starts no goroutine, takes no lock and reads no
// clock: inputs are method calls, what is to be done about them is collected
// in Effects, and time is an argument (nanoseconds of a monotonic clock).
//
// One goroutine, or a simulator, owns a Replica and turns a crank:
//
//	r.Advance(now); r.Receive(...); r.Propose(...); r.Read(...)   // inputs, in any number
//	e := r.Effects()                                              // then perform e
//
// It adds to raft what every user of it needs and what has to be simulated with
// it: commands gathered into entries while a sync is under way, the proposals
// behind an applied entry, linearizable reads that share a quorum round,
// noticing a dead leader at once, giving up a leadership that a quorum no
// longer confirms or that a hung disk makes worthless, snapshots that travel
// apart from the messages, and how far the log may be truncated.
//
// What it guarantees:
//   - A proposal is reported refused only if it was never given to raft.
//   - A read is released with an index only after a quorum round that began
//     after the read came in, and on a leader only after an entry of its own
//     term was applied.
//   - Role.Serving is true only on a leader that has applied an entry of its
//     own term and has heard from a quorum within quorumSilence.
//
// What it leaves to its owner: storage, apply, the network, and the answer to
// the client.
package replica
