//go:build linux

package powerfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

// event is what the child does to its store: said before, and again with Done
// when the store has acknowledged it.
type event struct {
	Kind string // "open", "append", "truncate", "install", "membership"
	Done bool
	// First to Last are appended with Term; Last alone is the index of an
	// installed snapshot or where a truncation ends. With "open" these are what the
	// child has read, and acts upon.
	First, Last, Term  uint64
	Commit, Checkpoint uint64
	Incarnation        uint64
}

func storeConfig(dir string) badgerstore.Config {
	return badgerstore.Config{
		Dir: dir, Identity: badgerstore.Identity{ClusterID: 7, NodeID: 1, Name: "node-1"},
		Bootstrap: storetest.Bootstrap(), MinFreeBytes: 1,
	}
}

// dataOf is what the entry at index carries, whichever process wrote it.
func dataOf(index, term uint64) []byte {
	rng := rand.New(rand.NewPCG(index, term))
	size := rng.IntN(600)
	if rng.IntN(10) == 0 {
		size = rng.IntN(1 << 20)
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(index + term + uint64(i)/512)
	}
	return data
}

// keyOf and valueOf are what applying the entry at index writes.
const keys = 50

func keyOf(index uint64) []byte { return fmt.Appendf(nil, "key%d", index%keys) }

func valueOf(index uint64) []byte {
	value := strconv.AppendUint(nil, index, 10)
	if index%7 == 0 {
		value = append(value, bytes.Repeat([]byte{' '}, int(index%90)<<10)...)
	}
	return value
}

func mutationOf(index uint64) store.Mutation {
	return store.Mutation{Key: keyOf(index), Value: valueOf(index), TS: store.At(index, 0)}
}

func applyTo(s interface{ Write([]store.Mutation) error }, from, to uint64) error {
	var muts []store.Mutation
	for i := from; i <= to; i++ {
		muts = append(muts, mutationOf(i))
	}
	return s.Write(muts)
}

// worker works on a store until it is killed or the store fails.
type worker struct {
	rng     *rand.Rand
	node    *badgerstore.Store
	last    uint64
	term    uint64
	commit  uint64
	applied uint64
}

func storeChild(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64)
	if err != nil {
		return err
	}
	w := &worker{rng: newRand(seed)}
	e := event{Kind: "open"}
	if err := acknowledged(&e, func() error { return w.open(dir, &e) }); err != nil {
		return err
	}
	for {
		if err := w.step(); err != nil {
			return err
		}
	}
}

func acknowledged(e *event, do func() error) error {
	if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	e.Done = true
	return json.NewEncoder(os.Stdout).Encode(e)
}

func (w *worker) open(dir string, e *event) (err error) {
	if w.node, err = badgerstore.Open(storeConfig(dir)); err != nil {
		return err
	}
	log := w.node.Log()
	hard, _, err := log.InitialState()
	if err != nil {
		return err
	}
	if w.last, err = log.LastIndex(); err != nil {
		return err
	}
	e.Last, e.Term, e.Commit, e.Checkpoint = w.last, hard.GetTerm(), hard.GetCommit(), log.Checkpoint()
	e.Incarnation = w.node.Membership().Incarnation
	w.commit, w.term = max(hard.GetCommit(), log.Checkpoint()), max(1, hard.GetTerm())
	w.applied = w.commit
	return applyTo(w.node.State(), log.Checkpoint()+1, w.commit)
}

func (w *worker) step() error {
	log, state := w.node.Log(), w.node.State()
	switch n := w.rng.IntN(100); {
	case n < 8:
		if err := state.Sync(); err != nil {
			return err
		}
		return w.append(w.applied)
	case n < 12:
		base, err := log.FirstIndex()
		if err != nil || log.Checkpoint() < base+200 {
			return err
		}
		to := log.Checkpoint() - 100
		return acknowledged(&event{Kind: "truncate", Last: to}, func() error { return log.Truncate(to) })
	case n < 13:
		return w.install()
	case n < 16:
		m := w.node.Membership()
		m.Incarnation = w.rng.Uint64()
		return acknowledged(&event{Kind: "membership", Incarnation: m.Incarnation}, func() error { return w.node.SetMembership(m) })
	case n < 20:
		if checkpoint := log.Checkpoint(); checkpoint > keys {
			state.Discard(store.EndOf(checkpoint - keys))
		}
		return nil
	case n < 40:
		to := w.commit
		err := applyTo(state, w.applied+1, to)
		w.applied = to
		return err
	default:
		return w.append(0)
	}
}

// append appends a few entries, sometimes in place of uncommitted ones.
func (w *worker) append(checkpoint uint64) error {
	e := event{Kind: "append", First: w.last + 1, Checkpoint: checkpoint}
	if w.rng.IntN(10) == 0 && w.last > w.commit {
		w.term++
		e.First = w.commit + 1 + w.rng.Uint64N(w.last-w.commit)
	}
	e.Term, e.Last = w.term, e.First+w.rng.Uint64N(7)
	e.Commit = w.commit + w.rng.Uint64N(e.Last-w.commit+1)
	b := store.Batch{
		Checkpoint: checkpoint,
		Hard:       &raftpb.HardState{Term: &e.Term, Vote: new(e.Term % 3), Commit: &e.Commit},
	}
	for i := e.First; i <= e.Last; i++ {
		b.Entries = append(b.Entries, &raftpb.Entry{Index: &i, Term: &e.Term, Data: dataOf(i, e.Term)})
	}
	w.last, w.commit = e.Last, e.Commit
	return acknowledged(&e, func() error { return w.node.Log().Append(b) })
}

// install replaces everything by the state as of a later index.
func (w *worker) install() error {
	index := w.last + 1 + w.rng.Uint64N(100)
	in, err := w.node.Receive()
	if err != nil {
		return err
	}
	if err := applyTo(in, max(index, keys)-keys+1, index); err != nil {
		return err
	}
	if err := in.Finish(); err != nil {
		return err
	}
	if w.rng.IntN(4) == 0 {
		return errors.Join(in.Abort())
	}
	w.last, w.commit, w.applied = index, index, index
	e := event{Kind: "install", Last: index, Term: w.term, Commit: index}
	snapshot := &raftpb.SnapshotMetadata{Index: &index, Term: &e.Term, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	return acknowledged(&e, func() error {
		return w.node.Log().Append(store.Batch{
			Hard:    &raftpb.HardState{Term: &e.Term, Vote: new(e.Term % 3), Commit: &index},
			Install: &store.Install{Snapshot: snapshot, State: in},
		})
	})
}
