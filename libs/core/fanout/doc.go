// Package fanout is the deterministic core of the watch fan-out: what one
// replica publishes, in which order and when it may. It does no I/O; time is an
// argument. Package services/watch performs its effects, simulations drive it
// the same way.
//
// Publisher turns committed events into messages, Window answers what was
// published recently, Grant says whether this replica may publish now.
//
// # What watchers can rely on
//
// A watcher of P, a key or a segment-aligned prefix, holds a position L: it has
// every event under P up to L. For each event under P at position p that
// arrives, with S from Kv-Since for P:
//
//   - p <= L: it is a duplicate.
//   - S <= L: nothing is missing between L and p; p becomes L.
//   - S > L: there may be a gap: ask history since L.
//
// S is exact, or a later bound where the publisher cannot know: after a start
// and for prefixes that have not changed for long. It is never too early.
//
// # Atomicity
//
// "S+" says that more events of the same revision follow under P. The
// publisher holds a revision back until it has all of it, so the sign is exact,
// up to a bound (MaxQueueEvents, MaxQueueBytes). A larger revision is published
// in parts, and while its end is unknown every prefix gets a "+". A missing
// "+" would break atomicity, so it is never left out by mistake; one too many
// only delays. What a watcher of P collected of revision r is complete as soon
// as one of these arrives without a gap:
//
//   - an event of r without "+";
//   - an event of a later revision with S <= L;
//   - a history page that reaches End(r) or beyond;
//   - a progress message that moves L to End(r) or beyond (below).
//
// # Lost tails and progress
//
// At each beat the publisher gives the last position of every prefix and key
// that changed since the beat before, and after all of them one progress
// message: everything up to Kv-Through was published on this connection before
// it, tails included. Kv-Sequence counts progress messages within an epoch;
// history answers carry the epoch and the last sequence given before them. A
// watcher whose last answer or progress message was (epoch, n) and who receives
// (epoch, n+1) moves L forward to Kv-Through. Any other number, or another
// epoch, means ask history. Where tails had to be left out, or events were
// skipped, a number is left out too.
//
// # Takeover
//
// A replica that may not publish keeps what it received until the holder's
// progress covers it, so that it can publish again all that the holder may not
// have published. What it never received from the feed it cannot publish; the
// bound in Kv-Since then sends watchers to history.
package fanout
