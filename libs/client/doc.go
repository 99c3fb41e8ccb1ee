// Package client is the Go client of Kvorum over NATS.
//
//	c, err := client.Connect(ctx, "nats://127.0.0.1:4222,nats://127.0.0.1:4223")
//	put, err := c.Put(ctx, "/db/primary", []byte("10.0.0.6"))
//	kv, err := c.Get(ctx, "/db/primary")
//
// Keys are strings of any bytes, compared bytewise, and values are byte slices:
// keys are compared, concatenated and used in maps all the time, values are
// not. Keys are given as they are ("/db/primary"), never as NATS subjects.
//
// # Guarantees
//
// Reads are linearizable unless Serializable or MinRevision is given. A write
// that returned without an error is on the disks of a quorum.
//
// Every write carries an id and is repeated under that id until the context
// ends (10 s where it has no deadline), on every error that may pass: it takes
// effect once or not at all. Only if the context ends while an attempt is
// unanswered does the outcome stay unknown; the error is then ErrTimeout. Any
// other error means that nothing was changed.
//
// Errors are *api.Error, to be told apart with errors.Is and the Err variables.
// If the context ended, they match its error as well.
//
// Watch delivers every change of a range once, in order and a revision at a
// time, over reconnections, lost messages, failovers and slow readers; only the
// compaction of what is still missing ends it. See Watcher.
//
// A Session is a lease that keeps itself alive and says when it is lost; a Mutex
// or an Election is held by one. Whatever is written under them is safe against
// any delay if it is written in a transaction that compares Held.
// RunWhileLeader does all of this for a process of which one is to be active.
//
// A Client is safe for concurrent use. It does not cache.
package client
