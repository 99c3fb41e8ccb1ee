package natsbus

import (
	"time"

	"github.com/kvorum/kvorum/libs/api"
)

// Bounds of the peer bus.
const (
	// FrameGoalBytes is where a frame of several Raft messages is closed.
	FrameGoalBytes = 1 << 20
	// MaxMessageBytes bounds one encoded Raft message: Send refuses a larger one.
	MaxMessageBytes = 8 << 20
	// PeerQueueBytes bounds the encoded messages that wait for one peer. Past
	// it Send returns false.
	PeerQueueBytes = 32 << 20
	// RouteBacklogBytes bounds what the embedded server holds for one peer's
	// Raft connection: past it the sender waits and its queue fills. It is
	// looked at after each routeCheckBytes sent.
	RouteBacklogBytes = 32 << 20
	routeCheckBytes   = 4 << 20

	// SnapshotChunkBytes and SnapshotWindow bound what of a snapshot is under
	// way at once; SnapshotIdle ends a transfer whose other side is silent.
	SnapshotChunkBytes = 256 << 10
	SnapshotWindow     = 4
	SnapshotIdle       = 10 * time.Second
	// MaxSnapshotHeaderBytes bounds the header of a snapshot.
	MaxSnapshotHeaderBytes = 1 << 20

	// ReachableWithin is how recently a peer must have been heard to be
	// Reachable. A peer that has been silent for probeEvery is asked.
	ReachableWithin = time.Second
	probeEvery      = 250 * time.Millisecond

	peerPayloadBytesMax = MaxMessageBytes + 64<<10
	pendingMessages     = 65_536
	pendingBytes        = 128 << 20
)

// Bounds of the client bus.
const (
	// MaxConnections bounds the client connections of one server.
	MaxConnections = 65_536
	// MaxSubscriptions bounds the subscriptions of one connection.
	MaxSubscriptions = 65_536
	// MaxControlLineBytes bounds a protocol line, and so a subject: a key of
	// api.MaxSubjectKeyBytes with every byte escaped fits twice.
	MaxControlLineBytes = 8192
	// ClientPendingBytes and ClientWriteDeadline bound how far a client may
	// stay behind before it is cut off.
	ClientPendingBytes  = 64 << 20
	ClientWriteDeadline = 2 * time.Second
	// LameDuckWithin is how long LameDuck takes to send the clients elsewhere.
	LameDuckWithin = time.Second

	clientPayloadBytesMax = api.MaxPayloadBytes
)

// Bounds of starting and stopping a server.
const (
	startWithin = 5 * time.Second
	stopWithin  = 5 * time.Second
)
