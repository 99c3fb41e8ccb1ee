// Package store is the port between the deterministic core and a node's disk:
// the Raft log, which is durable batch by batch, and the state machine's
// versioned keyspace, which is not and is recovered by replay.
//
// Two drivers implement it: memstore, in memory, for simulation and tests, and
// libs/badgerstore. Package storetest is the suite that both pass.
//
// # Timestamps
//
// Every version of every state key carries a TS taken from the Raft log: entry
// index << 10 | command number. Command n of an entry reads as of At(index, n)-1
// and writes at At(index, n). The same (key, TS) written twice is idempotent,
// so replaying entries after a restart does no harm.
//
// # Recovery
//
// Only Log.Append is durable on return. State.Write is not: what it wrote may
// be lost, in any order and with holes, when power fails. Recovery therefore
// trusts the checkpoint alone: an index D recorded in the log after
// State.Sync returned, where everything that entries up to D wrote had been
// written before Sync began. After a restart the state is read as of D and the
// entries after D are applied again. Versions above D may or may not be there
// and must not be visible before their entry is applied again.
package store

import (
	"errors"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Errors that drivers return, possibly wrapped. Any other error of a driver
// means that the disk cannot be trusted: the node must not acknowledge anything
// afterwards.
var (
	// ErrNotFound: the key has no version at that TS.
	ErrNotFound = errors.New("store: key not found")
	// ErrDiscarded: versions as of that TS may be gone already.
	ErrDiscarded = errors.New("store: timestamp already discarded")
	// ErrCorrupt: a checksum does not match. The replica must be rebuilt.
	ErrCorrupt = errors.New("store: checksum mismatch")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
)

// TS orders the versions of state keys.
type TS uint64

// commandBits is how many low bits of a TS number the commands of an entry.
const commandBits = 10

// MaxCommands is how many commands an entry can carry.
const MaxCommands = 1 << commandBits

// At is the TS of command n (0 <= n < MaxCommands) of the entry at index.
func At(index uint64, n int) TS { return TS(index<<commandBits | uint64(n)) }

// EndOf is the TS as of which everything up to the entry at index is visible
// and nothing after it.
func EndOf(index uint64) TS { return At(index, MaxCommands-1) }

// Index is the index of the entry that t belongs to.
func (t TS) Index() uint64 { return uint64(t) >> commandBits }

// Mutation is one new version of one key. Drivers do not keep Key or Value
// after the call they were given to.
type Mutation struct {
	Key    []byte // 1..MaxStateKeyBytes bytes
	Value  []byte // up to MaxStateValueBytes bytes; ignored for a deletion
	TS     TS
	Delete bool
}

// Bounds of a state key and value. The state machine splits larger values.
const (
	MaxStateKeyBytes   = 16 << 10
	MaxStateValueBytes = 768 << 10
)

// State is the versioned keyspace of the state machine. Write, Sync and Discard
// have one caller each; Read may be called by any goroutine.
type State interface {
	// Write adds versions, in any order of keys and TS. On return they are
	// readable through Read. They are not durable, and after a crash any
	// subset of them may be there. An error leaves it open which were written.
	Write(muts []Mutation) error
	// Sync makes durable everything whose Write had returned when Sync was
	// called. It does not hold up concurrent Writes for the time of the flush.
	Sync() error
	// Read opens a view as of ts. It fails with ErrDiscarded where ts is below
	// the discarded TS. The caller closes the view.
	Read(ts TS) (View, error)
	// Discard permits that, for every key, all versions but the newest at or
	// below ts are dropped. Open views hold it back. It never goes back.
	Discard(ts TS)
	// Bytes is about how much disk (or memory) the state takes.
	Bytes() uint64
}

// View reads the state as of one TS, whatever is written meanwhile. It may be
// used by one goroutine at a time.
type View interface {
	// Get returns the newest value at or before the view's TS. The slice is
	// valid until the view is closed. ErrNotFound if there is none or the
	// newest version is a deletion.
	Get(key []byte) (value []byte, err error)
	// Scan iterates over the live keys in [lower, upper) in bytewise order, or
	// in the opposite order. A nil upper means no bound.
	Scan(lower, upper []byte, reverse bool) Iterator
	// Versions calls fn with every kept version, deletions included, at or
	// before the view's TS, in an order of the driver's choice, until fn fails.
	// Key and Value are valid during the call only. It is what a snapshot is
	// made of: the versions written into an empty State give the same answers
	// for every TS that is not discarded.
	Versions(fn func(Mutation) error) error
	// Close releases the view. It must be called once.
	Close()
}

// Iterator walks over the keys of a View. Key and Value are valid until the
// next call of Next or Close.
type Iterator interface {
	// Next moves to the first or next key; false at the end or on an error.
	Next() bool
	Key() []byte
	// Value reads the value of the current key; nil if that failed, which Err
	// then tells.
	Value() []byte
	// Err is what ended the iteration early, if anything did.
	Err() error
	Close()
}

// MaxEntryBytes bounds an encoded entry of the log: a driver refuses a larger one,
// which ends the node, so that a command of more than MaxCommandBytes must never
// be proposed. The difference is room for the headers of entry and command.
const (
	MaxEntryBytes   = 2 << 20
	MaxCommandBytes = MaxEntryBytes - 4<<10
)

// Batch is what one Log.Append makes durable, all or nothing. If it is
// interrupted by a crash, the log holds a prefix of Entries at most, and never
// a HardState.Commit that is above the log's last index.
type Batch struct {
	// Hard replaces the hard state, if not nil.
	Hard *raftpb.HardState
	// Entries are consecutive; those already in the log from the first one's
	// index on are replaced.
	Entries []*raftpb.Entry
	// Checkpoint, if not 0, records that the state is durable up to this index.
	// It never lowers the one recorded.
	Checkpoint uint64
	// Install, if not nil, starts the log anew behind a received snapshot.
	Install *Install
}

// Install switches a node to a state that was received as a snapshot. The log
// is emptied, its first index becomes Snapshot's index + 1, the checkpoint
// becomes Snapshot's index, and Node.State is the received one.
type Install struct {
	Snapshot *raftpb.SnapshotMetadata
	State    Incoming // after its Finish returned nil
}

// Log is the Raft log with its hard state and the checkpoint. Append and
// Truncate have one caller; the methods of raft.Storage may be called by
// another goroutine meanwhile, and see an append once it has returned (which
// AsyncStorageWrites allows for).
//
// raft.Storage's Snapshot gives the metadata of the snapshot that the log
// starts behind; the replica offers a newer one to followers itself.
type Log interface {
	raft.Storage
	// Append makes b durable before it returns. After an error nothing more
	// may be acknowledged.
	Append(b Batch) error
	// Checkpoint is the index up to which the state is durable.
	Checkpoint() uint64
	// Truncate forgets entries up to and including index, in bounded steps. It
	// need not be durable. It refuses to go beyond the checkpoint.
	Truncate(index uint64) error
	// Bytes is about the size of the kept entries.
	Bytes() uint64
}

// Incoming is a state that is being received, apart from the one in use.
type Incoming interface {
	Write(muts []Mutation) error
	// Finish makes it durable and verifies that it can be read back. Only then
	// may it be given to Install.
	Finish() error
	// Abort throws it away. It does nothing after an Install.
	Abort() error
}

// Node is the storage of one node.
type Node interface {
	Log() Log
	// State is the state in use; another one after an Install.
	State() State
	// Receive begins to receive a snapshot; an earlier one that was not
	// installed is thrown away.
	Receive() (Incoming, error)
	// FreeBytes is how much the disk has left for this node.
	FreeBytes() (uint64, error)
	Close() error
}
