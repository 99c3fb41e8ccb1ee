package api

// Bounds of a request. Past one, the answer is the named error and nothing has
// changed.
const (
	// MaxKeyBytes bounds a key: bad_key. Empty keys are bad_key as well.
	MaxKeyBytes = 4096
	// MaxRequestBytes bounds the keys and values of one write together:
	// too_large. etcd's default --max-request-bytes.
	MaxRequestBytes = 1536 << 10
	// MaxTxnOps bounds max(compares, then, else) of a transaction, nested ones
	// sharing what their level left: too_many_ops. etcd's --max-txn-ops.
	MaxTxnOps = 128
	// MaxMsgIDBytes bounds Nats-Msg-Id: bad_request.
	MaxMsgIDBytes = 256
	// MaxPayloadBytes is the bus's max_payload, so that MaxRequestBytes of
	// value fits in any form.
	MaxPayloadBytes = 8 << 20
	// MaxAnswerBytes is where a read's page ends and where the results of a
	// transaction are omitted.
	MaxAnswerBytes = 4 << 20
	// MaxSubjectKeyBytes and MaxSubjectTokens bound the key part of a subject:
	// bad_key. Longer and deeper keys go through the payload forms.
	MaxSubjectKeyBytes = 1024
	MaxSubjectTokens   = 16
	// A lease's time to live, and a key's own: bad_request.
	MinLeaseMillis = 500
	MaxLeaseMillis = 9_000_000_000_000
	MinTTLMillis   = 100
	// MaxLeaseKeys bounds the keys of one lease: too_large.
	MaxLeaseKeys = 100_000
	// MaxKeepAliveIDs bounds the leases of one keep-alive: too_large.
	MaxKeepAliveIDs = 1000
	// MaxWaitMillis bounds how long a lock, a campaign or an observer waits in
	// one request: bad_request.
	MaxWaitMillis = 60_000
	// MaxDeleteKeys bounds the keys of one delete-range: too_large.
	MaxDeleteKeys = 100_000
)

// The window of Nats-Msg-Id: the most recent so many ids, within so many bytes,
// are remembered.
const (
	DedupWindowIDs   = 262_144
	DedupWindowBytes = 64 << 20
	// DedupResultBytes is the largest answer kept to be given again; a larger
	// one is answered with its revision and Kv-Duplicate only.
	DedupResultBytes = 4096
)
