// Package snapshot is the encoding of a state as a stream of bytes: what is
// sent to a follower that lags behind the log, and what a backup holds.
//
// The stream, numbers big-endian:
//
//	"KVRMSNAP" version(4) length(4) metadata(length) crc(4)   header
//	length(4) crc(4) bytes(length)                            frames, length 1 to MaxFrameBytes
//	0(4) count(8) sha256(32)                                  trailer
//
// metadata is raft's SnapshotMetadata, protobuf. A crc is CRC-32C: the
// header's over all of the header before it, a frame's over its bytes. count is
// how many records there are, sha256 is of everything before it. The bytes of
// the frames are one stream of records, which go over frame borders:
//
//	kind(1) ts(8) key length(4) key [value length(4) value]   kind 1: value, 2: deletion
//
// It guarantees that the same versions in the same order give the same bytes,
// and that Read returns no error only for a stream that Write completed: every
// damage and every cut is refused. It does not order versions, encrypt,
// compress or read past the trailer.
package snapshot

import (
	"errors"
	"hash/crc32"
)

// ErrDamaged: the bytes are not a complete snapshot.
var ErrDamaged = errors.New("snapshot: damaged or cut off")

// ErrNewerVersion: a newer version of the program wrote the stream.
var ErrNewerVersion = errors.New("snapshot: written by a newer version")

const (
	magic   = "KVRMSNAP"
	version = 1

	// MaxFrameBytes bounds what a frame carries.
	MaxFrameBytes = 256 << 10

	maxMetadataBytes = 64 << 10

	// A batch given to Incoming.Write is closed after either.
	batchMutations = 1000
	batchBytes     = 1 << 20
)

const (
	kindValue    = 1
	kindDeletion = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
