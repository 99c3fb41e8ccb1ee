// Package member is the crank of a storage node: what a member of the cluster
// decides between its replica, its log, its state machine and its leases, and in
// which order. It does no I/O, starts no goroutine, takes no lock and reads no
// clock. The storage node turns the crank with goroutines, disks and sockets,
// the simulator with virtual ones: both run this code.
//
// Each part belongs to one goroutine, or to a simulator:
//
//	Member      the replica and the time of leases
//	Write       the Raft log: one durable write at a time
//	Apply       the state machine
//	Waiting     reads that wait for the state
//	Checkpoint  making the state durable, and letting go of what that replaces
//
// What it guarantees, if its owner does what each part's documentation asks:
//   - What depends on a write of the log is sent, or told to the replica, after
//     the write is durable; later writes never pass earlier ones.
//   - The time of leases hears of a timer before the replica hears that its entry
//     is applied, so that a leader that serves knows them all; requests, renewals
//     among them, come before anything is found to have run out.
//   - A client's answer comes after the entry behind it was applied.
//   - A checkpoint is recorded after the state up to it is durable; nothing that
//     it makes unnecessary goes before the record is durable.
//   - A received state is installed where raft asks for it, and thrown away
//     otherwise.
//
// What it leaves to its owner: performing all that, requests and their answers,
// and stopping at the first error of the disk.
package member
