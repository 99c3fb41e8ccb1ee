package api

// Request subjects. Those ending in a dot are followed by a key or, for
// SubjectList, SubjectHistory and SubjectSync, optionally by a prefix.
const (
	SubjectGet         = "kv.get."
	SubjectPut         = "kv.put."
	SubjectDelete      = "kv.delete."
	SubjectList        = "kv.list"
	SubjectHistory     = "kv.history"
	SubjectSync        = "kv.sync"
	SubjectRange       = "kv.range"
	SubjectTxn         = "kv.txn"
	SubjectDeleteRange = "kv.delete-range"
	SubjectCompact     = "kv.compact"
	SubjectStatus      = "kv.admin.status"

	SubjectLeaseGrant     = "kv.lease.grant"
	SubjectLeaseRevoke    = "kv.lease.revoke"
	SubjectLeaseKeepAlive = "kv.lease.keepalive"
	SubjectLeaseInfo      = "kv.lease.info"
	SubjectLeaseList      = "kv.lease.list"
	// SubjectLock and SubjectUnlock are followed by the lock's name, as tokens.
	SubjectLock   = "kv.lock."
	SubjectUnlock = "kv.unlock."
	// The subjects of elections; the name is in the body.
	SubjectCampaign = "kv.elect.campaign"
	SubjectProclaim = "kv.elect.proclaim"
	SubjectLeader   = "kv.elect.leader"
	SubjectObserve  = "kv.elect.observe"
	SubjectResign   = "kv.elect.resign"
)

// Subjects that the fan-out publishes on.
const (
	// SubjectWatch is followed by the key: one message for each event.
	SubjectWatch = "kvwatch."
	// SubjectTailUnder is followed by a prefix: its last position, coalesced.
	SubjectTailUnder = "kvtail.under."
	// SubjectTailRoot is the tail of the whole store, the prefix of no segment.
	SubjectTailRoot = "kvtail.under"
	// SubjectTailKey is followed by a key: its last position, coalesced.
	SubjectTailKey = "kvtail.key."
	// SubjectProgress carries the position published through, every 250 ms.
	SubjectProgress = "kvprogress"
)

// Request headers.
const (
	HeaderIfRevision  = "Kv-If-Revision"
	HeaderPrev        = "Kv-Prev"
	HeaderAtRevision  = "Kv-Revision"
	HeaderConsistency = "Kv-Consistency"
	HeaderMinRevision = "Kv-Min-Revision"
	HeaderMsgID       = "Nats-Msg-Id"
	HeaderContentType = "Content-Type"
)

// Reply and event headers.
const (
	HeaderRevision       = "Kv-Revision"
	HeaderCreateRevision = "Kv-Create-Revision"
	HeaderModRevision    = "Kv-Mod-Revision"
	HeaderVersion        = "Kv-Version"
	HeaderLease          = "Kv-Lease"
	HeaderTTL            = "Kv-Ttl"
	HeaderExpired        = "Kv-Expired"
	HeaderNode           = "Kv-Node"
	HeaderTerm           = "Kv-Term"
	HeaderDeleted        = "Kv-Deleted"
	HeaderDuplicate      = "Kv-Duplicate"
	HeaderCompacted      = "Kv-Compacted"
	HeaderError          = "Kv-Error"
	// The error headers of the NATS services convention.
	HeaderServiceError     = "Nats-Service-Error"
	HeaderServiceErrorCode = "Nats-Service-Error-Code"

	HeaderEvent = "Kv-Event" // put or delete
	HeaderSub   = "Kv-Sub"
	HeaderEpoch = "Kv-Epoch"
	HeaderSince = "Kv-Since"
	HeaderKey   = "Kv-Key" // the key, where the subject cannot carry it
	// HeaderThrough, on kvprogress and tails, is the position they speak of.
	HeaderThrough = "Kv-Through"
	// HeaderSequence numbers kvprogress messages within an epoch.
	HeaderSequence = "Kv-Sequence"
)

// Values of headers.
const (
	ConsistencyLinearizable = "linearizable"
	ConsistencySerializable = "serializable"
	ContentJSON             = "application/json"
	ContentProtobuf         = "application/protobuf"
	EventPut                = "put"
	EventDelete             = "delete"
)

// States of a node, in its status.
const (
	StateWhole = "whole"
	// StateRebuilding: it copies the data of the others anew, and gives no vote
	// until it has.
	StateRebuilding = "rebuilding"
	// StateDamaged: it answers nothing but its status.
	StateDamaged = "damaged"
)
