// Package watchstate is the rule book of a gap-free watch, as a state machine
// without I/O: what arrives goes in, what may be delivered and what must be
// asked comes out. The client drives it with NATS, a simulation with whatever
// it likes.
//
// # The rules
//
// A watch covers a scope: one key, the keys below a prefix, or the whole store.
// Its position is the last one up to which it has every event of the scope.
//
//   - An event at or below the position is a duplicate and is dropped.
//   - An event tells the position S of the event before it in the scope. With S
//     at or below the watch's position nothing is missing between the two;
//     otherwise the history since the position is asked for.
//   - A revision is delivered when no more of it follows: whole, or not yet.
//   - A tail, the last position of the scope, after the watch's position means
//     that something was lost: ask.
//   - Progress messages are numbered. A missing number, a new epoch, a
//     connection that was interrupted or messages that were dropped on the way:
//     ask. An unbroken sequence moves the resume position, so that an idle watch
//     does not fall behind the compaction; events are still held against the position
//     that was reached by events, so that it hides no gap that history can fill.
//     Where that is compacted, the watch goes on from the resume position.
//   - Messages of an epoch lower than the highest one seen are ignored.
//   - An answer to a question asked before an interruption, or given under a
//     lower epoch, says nothing about what was published since: ask again.
//
// # What it guarantees
//
// What Pop gives is every event of the watched range after the start, in order,
// once, and one revision at a time, whatever is lost, repeated or cut, provided
// that history answers are true and that some message of the scope eventually
// arrives after the last loss. Memory is bounded by Limits plus one answer plus
// one revision: what does not fit is let go and comes back as history.
//
// It does not decide when to ask; Question tells what is known about the hurry.
package watchstate
