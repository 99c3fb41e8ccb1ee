// Package lease is the clock of leases and of keys with a time to live of their
// own: it knows what is due, and nothing else. What leases there are is the
// replicated state's matter; deadlines are not state, but memory of the leader.
//
// Every node feeds its Clock from apply, in order, with Set and Cancel. Time
// passes on a leader only:
//
//	c.Lead(term, now)                    // the node begins to serve as leader
//	c.Renew(id, now) ...                 // each step: first the renewals that wait,
//	c.Advance(now)                       // then time,
//	for _, e := range c.Due(n) { ... }   // then what is due is proposed to the log
//	c.Failed(e)                          // a proposal was refused, or its outcome is unknown
//	c.Follow()                           // the node serves as leader no longer
//
// The owner reads now, in nanoseconds of a monotonic clock, after it has taken
// the step's inputs, and calls Advance in every step. What it took in is applied,
// and so Set, in a later step: a time to live that begins with Set begins no
// earlier than when the request for it came.
//
// What a Clock guarantees:
//   - Nothing is due before its whole time to live has passed, by the clock of
//     a node that led all the while, since it was set, last renewed, or last
//     began anew.
//   - Lease time moves at most StepMaxNanos at once. A process that was stopped
//     therefore takes the renewals that arrived meanwhile before anything
//     expires, and a pause makes times to live longer, never shorter.
//   - With a leadership every timer begins anew: a new leader does not know of
//     the renewals that its predecessor acknowledged.
//   - What has been given out by Due cannot be renewed until apply decides, by
//     Cancel or by Set. That holds after Failed too, and when a leadership falls
//     silent and comes back within one term: the proposal may still be in the
//     log. A leader of a later term has applied, or will never apply, what
//     was proposed before.
//
// What it leaves to its owner:
//   - A renewal is acknowledged only after a quorum round that began after Renew,
//     and only if the node still leads in the same term when it ends: only then
//     was the round its own, and no other node has begun to lead before Renew. A
//     round that was passed on to a new leader says nothing about the renewal.
//   - When the round's index is applied, the state decides: a lease that it has
//     not got any more is not acknowledged, and ErrNotFound is told only where
//     it has not got it either, as apply may be ahead of Set and Cancel.
//   - Expiry takes effect by a log entry that names the generation, so that it
//     does nothing where the lease or key is another by then.
//   - All that was applied is Set and Cancelled before Lead.
//
// Renew, Set, Cancel and each Expiry cost O(log n), Lead O(1), Follow O(n).
// A lease takes about 120 bytes, a key about 130 and its own length.
package lease
