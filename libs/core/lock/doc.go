// Package lock is the deterministic part of locks and elections, which are one
// thing: a queue of contenders for a name. A contender is the key
//
//	NAME / LEASE        the lease as 16 lower-case hex digits
//
// attached to that lease; the one with the lowest create revision holds the
// name, and that revision is its fence. So a queue is ordinary state: it
// outlives leaders, its order is that of revisions, and a contender whose lease
// ends leaves it by itself.
//
// The package plans the transactions that join a queue, leave it and change a
// holder's value, and reads their responses. Registry is a leader's memory of
// who waits for what: it turns events into answers and tells what it must look
// up in the state for that. Its cost does not grow with the length of a queue:
// joining takes one look at a key, a release one look at who is first, and
// nobody but the next in line is woken.
//
// What holding means to others is the compare Held: a transaction that carries
// it is refused from the revision on at which the name has another holder, or
// none. The answer to a lock request alone is no such guarantee: by the time
// that it is read, the lease may have ended.
package lock
