// Package feed follows committed revisions over the bus's internal account, as
// the storage nodes serve them: every event once, in order, without a gap. The
// watch fan-out and the etcd gateway are its users.
//
// It guarantees that the pages given to the owner continue one another: their
// events are after everything given before and in order, and through never
// goes back. A node that answers otherwise ends the following with an error, as
// that would be a bug. Nodes that are slow, stopped or without a leader do not:
// it asks another one, for ever, until its context ends.
//
// The rules are those of package feedstate; this one performs them on NATS.
//
// It does not remember anything: the owner keeps the position and gives it
// again after an error.
package feed

// Subjects of the internal account.
const (
	// SubjectLeader is answered by the Raft leader alone; kvpb.FeedRequest.
	SubjectLeader = "feed.leader"
	// SubjectAny is answered by one of all nodes; kvpb.FeedRequest.
	SubjectAny = "feed.poll"
	// SubjectGrant is answered by the Raft leader alone; kvpb.GrantRequest.
	SubjectGrant = "feed.grant"
)
