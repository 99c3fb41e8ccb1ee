package mvcc

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

// Machine is the state machine of one replica.
type Machine struct {
	st        store.State
	limits    limits
	meta      meta // as of the last applied entry
	dedup     *dedup
	segments  segments
	digest    digest
	hot       *hot
	trimmed   int64 // there are no change records below this revision
	failed    error // why nothing can be applied any more
	published atomic.Pointer[Published]
}

// Entry is a committed log entry. One without commands moves the applied index
// and nothing else.
type Entry struct {
	Index, Term uint64
	Commands    []*command.Command
}

// Applied is what one call of Apply did.
type Applied struct {
	// Results[i][n] is the result of command n of entry i of the call.
	Results [][]Result
	// Events are those of all new revisions in the order of their positions:
	// puts with their value, last set, without prev_kv.
	Events []*kvpb.Event
	// Timers are of every lease and every key with a time to live that began,
	// began anew or ended, in the order in which that happened.
	Timers []Timer
}

// Result is the outcome of one command. It has either a Response or an Err.
type Result struct {
	// Response is a *kvpb.PutResponse, *kvpb.DeleteRangeResponse,
	// *kvpb.TxnResponse, *kvpb.CompactResponse, *kvpb.LeaseGrantResponse or, for
	// a revocation and an expiry, *kvpb.LeaseRevokeResponse.
	Response proto.Message
	// Err: the command changed nothing. Of its fields Revision is always set.
	Err *api.Error
	// Revision is the store's after the command.
	Revision int64
	// Duplicate: the message id had been applied before, and this is the result
	// of then.
	Duplicate bool
	// Omitted: the command took effect, but its results were too large to give
	// (a transaction's responses, previous values); the rest of Response is valid.
	Omitted bool
}

// Open opens the state as of the end of the entry at index; Apply goes on with
// the next one. A state without any key is new: it has revision 1, whatever
// the index. An error of the store, and any sign that the state is not that of
// index, is returned.
func Open(st store.State, index uint64) (*Machine, error) { return open(st, index, defaultLimits) }

func open(st store.State, index uint64, l limits) (*Machine, error) {
	ts := store.EndOf(index)
	if mutant.Is(mutant.ApplyTwice) {
		ts = store.EndOf(1 << 40)
	}
	view, err := st.Read(ts)
	if err != nil {
		return nil, fmt.Errorf("mvcc: open at index %d: %w", index, err)
	}
	defer view.Close()
	m := &Machine{st: st, limits: l, digest: newDigest(), hot: newHot()}
	if m.meta, err = readMeta(view, index); err != nil {
		return nil, fmt.Errorf("mvcc: open at index %d: %w", index, err)
	}
	if m.dedup, err = openDedup(view, &m.meta, l); err != nil {
		return nil, fmt.Errorf("mvcc: open at index %d: %w", index, err)
	}
	if m.segments, err = openSegments(view); err != nil {
		return nil, fmt.Errorf("mvcc: open at index %d: %w", index, err)
	}
	m.publish()
	return m, nil
}

func readMeta(view store.View, index uint64) (meta, error) {
	b, err := view.Get(metaKey)
	if err == nil {
		m, err := decodeMeta(b)
		if mutant.Is(mutant.ApplyTwice) {
			m.index = index
		}
		if mutant.Is(mutant.DedupForgotten) {
			m.dedupTail = m.dedupHead
		}
		if mutant.Is(mutant.RevisionFromKeys) {
			if newest, _ := findChange(view, api.Position{Revision: m.revision}); newest != nil && newest.deleted {
				m.revision--
			}
		}
		if err == nil && m.index != index {
			err = fmt.Errorf("%w: the state is of index %d", store.ErrCorrupt, m.index)
		}
		return m, err
	}
	if !errors.Is(err, store.ErrNotFound) {
		return meta{}, err
	}
	it := view.Scan(nil, nil, false)
	defer it.Close()
	if it.Next() {
		return meta{}, fmt.Errorf("%w: the meta record is missing", store.ErrCorrupt)
	}
	return meta{index: index, revision: 1}, it.Err()
}

// Apply applies consecutive entries, the first of which follows the last one
// applied: anything else is an error and changes nothing. All they write goes
// down in one State.Write; they are published together after it returned.
//
// An error of the store leaves the machine unusable: whether the entries were
// written is open, and they must be applied again after opening it anew.
func (m *Machine) Apply(entries []Entry) (*Applied, error) {
	if m.failed != nil {
		return nil, fmt.Errorf("mvcc: failed before: %w", m.failed)
	}
	for i, e := range entries {
		if want := m.meta.index + 1 + uint64(i); e.Index != want {
			return nil, fmt.Errorf("mvcc: entry %d where entry %d comes next", e.Index, want)
		}
		if len(e.Commands) > store.MaxCommands {
			return nil, fmt.Errorf("mvcc: entry %d has %d commands, more than %d", e.Index, len(e.Commands), store.MaxCommands)
		}
	}
	if len(entries) == 0 {
		return &Applied{}, nil
	}
	applied, err := m.apply(entries)
	if err != nil {
		m.failed = err
		return nil, fmt.Errorf("mvcc: apply entries %d to %d: %w", entries[0].Index, entries[len(entries)-1].Index, err)
	}
	return applied, nil
}

func (m *Machine) apply(entries []Entry) (*Applied, error) {
	view, err := m.st.Read(store.EndOf(m.meta.index))
	if err != nil {
		return nil, err
	}
	defer view.Close()
	commands := 0
	for _, e := range entries {
		commands += len(e.Commands)
	}
	b := newBatch(m, view, commands)
	applied := &Applied{Results: make([][]Result, len(entries))}
	for i := range entries {
		if applied.Results[i], err = b.entry(&entries[i]); err != nil {
			return nil, err
		}
	}
	if err := m.st.Write(b.muts); err != nil {
		return nil, err
	}
	applied.Events, applied.Timers = b.events, b.timers
	clear(m.dedup.fresh)
	b.src.over.newest(m.hot.set)
	m.meta = b.meta
	m.publish()
	return applied, nil
}

func (m *Machine) publish() {
	ts := store.EndOf(m.meta.index)
	if mutant.Is(mutant.PublishEarly) {
		ts = store.EndOf(m.meta.index - 1)
	}
	m.published.Store(&Published{
		Index: m.meta.index, Term: m.meta.term, TS: ts,
		Revision: m.meta.revision, Compacted: m.meta.compacted, Digest: m.meta.digest,
		DiscardTS: m.meta.compactedTS, m: m, segments: m.segments.show(),
	})
}

// Published is the state as of the last applied entry.
func (m *Machine) Published() *Published { return m.published.Load() }
