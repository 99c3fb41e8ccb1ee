// Package mvcc is the replicated state machine: a multi-version key-value store
// with etcd's semantics, fed by committed log entries. It has no I/O of its own:
// it reads and writes through a store.State, takes no time and starts nothing.
//
// # What it guarantees
//
//   - Deterministic: the same entries give the same state, the same results and
//     the same digest, however they are divided among calls of Apply and
//     wherever the machine was reopened in between.
//   - One revision is all of its changes or none: what Apply wrote becomes
//     visible when the next Published is stored, after State.Write returned.
//   - A command that fails changes nothing but the window of remembered ids.
//   - The count of a range is exact as of its revision, without a look at each
//     of its keys: type segment tells how.
//   - Whatever is read has passed a checksum, or the answer is an error that
//     wraps store.ErrCorrupt.
//
// # What it does not
//
// Nothing is durable because Apply returned: the caller decides when the state
// is synced and where replay starts (package store). Linearizability of reads is
// the caller's too: a Published answers as of its own index, whatever its age.
//
// # Leases and times to live
//
// Leases, the keys attached to them and the time to live of single keys are
// state; deadlines are not. Apply tells which timers began, began anew or ended,
// and a command.Expire ends what has run out: it names the generation that it
// means, so one that comes late does nothing to what was granted or put since.
// Whether a time to live has passed is for the proposer to know.
//
// # Goroutines
//
// Open, Apply and Trim belong to one goroutine. Published may be
// called, and what it returns be used, by any.
//
// # Deviations from etcd
//
// A transaction that may both put and delete a key is refused in either order of
// the two; etcd lets a nested put be followed by a nested delete. A sort by a
// target other than the key looks at the whole range even where no order is
// named; etcd then cuts at the limit first. Ranges that name keys only still
// carry the lease.
package mvcc
