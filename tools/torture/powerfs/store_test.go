//go:build linux

package powerfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/store"
)

// expectation is what a store must hold: all that was acknowledged, and before or
// after the one event that was not.
type expectation struct {
	terms       map[uint64]uint64 // of the entries, by index
	last        uint64
	term        uint64 // of the hard state
	commit      uint64
	checkpoint  uint64
	incarnation uint64
	doubt       *event
}

func newExpectation() *expectation {
	return &expectation{terms: make(map[uint64]uint64), last: 1, checkpoint: 1} // as founded
}

func (x *expectation) see(line string) error {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	if !e.Done {
		x.doubt = &e
		return nil
	}
	x.doubt = nil
	x.do(e)
	return nil
}

func (x *expectation) do(e event) {
	switch e.Kind {
	case "append":
		for i := e.First; i <= e.Last; i++ {
			x.terms[i] = e.Term
		}
		x.last, x.term, x.commit, x.checkpoint = e.Last, e.Term, e.Commit, max(x.checkpoint, e.Checkpoint)
	case "install":
		clear(x.terms)
		x.last, x.term, x.commit, x.checkpoint = e.Last, e.Term, e.Commit, e.Last
	case "membership":
		x.incarnation = e.Incarnation
	}
}

// outcomes are what the store may hold after the doubted event was interrupted.
func (x *expectation) outcomes() []expectation {
	all := []expectation{*x}
	if x.doubt == nil {
		return all
	}
	e := *x.doubt
	if e.Kind != "append" {
		after := *x
		after.terms = maps.Clone(x.terms)
		after.do(e)
		return append(all, after)
	}
	// A prefix of the batch, at least with the entries that it replaces removed,
	// with the commit index as far as there are entries.
	for last := e.First - 1; last <= e.Last; last++ {
		after := *x
		after.terms = maps.Clone(x.terms)
		part := e
		part.Last, part.Commit = last, min(e.Commit, last)
		if last < e.Last {
			part.Checkpoint = 0
		}
		after.do(part)
		all = append(all, after)
	}
	return all
}

// check opens the store in dir, which is a copy, and looks for everything. Which of
// the outcomes it found is what must be there from now on.
func (x *expectation) check(dir string) (err error) {
	s, err := badgerstore.Open(storeConfig(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var mismatch error
	for _, outcome := range x.outcomes() {
		if mismatch = outcome.checkLog(s); mismatch == nil {
			outcome.doubt = nil
			*x = outcome
			break
		}
	}
	if mismatch != nil {
		return fmt.Errorf("%w (interrupted: %+v)", mismatch, x.doubt)
	}
	checkpoint := s.Log().Checkpoint()
	if err := checkState(s.State(), checkpoint); err != nil {
		return fmt.Errorf("as of the checkpoint: %w", err)
	}
	hard, _, err := s.Log().InitialState()
	if err != nil {
		return err
	}
	commit := max(checkpoint, hard.GetCommit())
	if err := applyTo(s.State(), checkpoint+1, commit); err != nil {
		return err
	}
	if err := checkState(s.State(), commit); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	return s.Scrub(nil)
}

func (x *expectation) checkLog(s *badgerstore.Store) error {
	log := s.Log()
	first, err1 := log.FirstIndex()
	last, err2 := log.LastIndex()
	hard, _, err3 := log.InitialState()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	switch {
	case last != x.last:
		return fmt.Errorf("the log ends at %d instead of %d", last, x.last)
	case hard.GetCommit() != x.commit:
		return fmt.Errorf("commit %d instead of %d", hard.GetCommit(), x.commit)
	case hard.GetTerm() != x.term:
		return fmt.Errorf("term %d instead of %d", hard.GetTerm(), x.term)
	case log.Checkpoint() != x.checkpoint:
		return fmt.Errorf("checkpoint %d instead of %d", log.Checkpoint(), x.checkpoint)
	case first > x.checkpoint+1:
		return fmt.Errorf("the log begins at %d, behind the checkpoint %d", first, x.checkpoint)
	case s.Membership().Incarnation != x.incarnation:
		return errors.New("another membership")
	case first > last:
		return nil
	}
	entries, err := log.Entries(first, last+1, math.MaxUint64)
	if err != nil {
		return err
	}
	for i, e := range entries {
		index := first + uint64(i)
		if e.GetIndex() != index || e.GetTerm() != x.terms[index] || !bytes.Equal(e.GetData(), dataOf(index, x.terms[index])) {
			return fmt.Errorf("entry %d of term %d is not the one of term %d that was written", e.GetIndex(), e.GetTerm(), x.terms[index])
		}
	}
	return nil
}

func checkState(s store.State, index uint64) error {
	v, err := s.Read(store.EndOf(index))
	if err != nil {
		return err
	}
	defer v.Close()
	for i := max(index, keys+1) - keys + 1; i <= index; i++ {
		if got, err := v.Get(keyOf(i)); err != nil || !bytes.Equal(got, valueOf(i)) {
			return fmt.Errorf("key %q as of %d: %.20q, %v", keyOf(i), index, got, err)
		}
	}
	return nil
}

// powerCuts runs a child on a store, again and again, cuts its power at random
// moments, and compares what is left with what it said was acknowledged.
func powerCuts(t *testing.T, seed uint64, rounds int, lie bool) error {
	rng := newRand(seed)
	disk, dir := mounted(t, Options{})
	defer disk.Close()
	disk.LieAboutSync(lie)
	data := filepath.Join(dir, "data")
	ok(t, os.Mkdir(data, 0o700))
	x := newExpectation()
	for round := range rounds {
		c := startChild(t, "store", data, rng.Uint64())
		lines := rng.IntN(200)
		if rng.IntN(3) == 0 {
			lines = rng.IntN(3) // in the middle of the recovery
		}
		for range lines {
			line := c.next()
			if line == "" {
				c.kill()
				return fmt.Errorf("round %d: the child ended: %s", round, c.stderr.String())
			}
			ok(t, x.see(line))
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // to be anywhere between two lines
		loss, err := disk.Cut(rng)
		ok(t, err)
		for _, line := range c.kill() {
			ok(t, x.see(line))
		}
		left := filepath.Join(disk.Files(), "data")
		copied := filepath.Join(t.TempDir(), "copy")
		ok(t, copyTree(copied, left))
		if err := x.check(copied); err != nil {
			ok(t, copyTree(filepath.Join(t.ArtifactDir(), fmt.Sprint(seed)), left))
			return fmt.Errorf("round %d, after %d lines (%v): %w", round, lines, loss, err)
		}
		ok(t, os.RemoveAll(copied))
		ok(t, disk.Restore())
	}
	t.Logf("seed %d: %d cuts, the log ends at %d, %+v", seed, rounds, x.last, disk.Stats())
	return nil
}

// copyTree copies files without their holes.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(target, path)
	})
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	for off := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return out.Truncate(info.Size())
		}
		hole, err2 := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		off = hole
	}
}

var (
	cutsTime = flag.Duration("cuts.time", 8*time.Second, "how long TestStore goes on")
	cutsSeed = flag.Uint64("cuts.seed", 0, "the only seed of TestStore")
)

// TestStore cuts the power of libs/badgerstore. A seed decides what the store does
// and what a cut takes, but not the moment of the cut: repeat it.
func TestStore(t *testing.T) {
	for begin := time.Now(); time.Since(begin) < *cutsTime; {
		seed := *cutsSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		if err := powerCuts(t, seed, 5, false); err != nil {
			t.Fatalf("%v\nagain: go test ./tools/torture/powerfs -run 'TestStore$' -cuts.seed %d -cuts.time 1m -artifacts -outputdir /tmp", err, seed)
		}
	}
}

// TestStoreNotices: a disk that does not flush is found out.
func TestStoreNotices(t *testing.T) {
	for seed := range uint64(20) {
		if err := powerCuts(t, seed, 3, true); err != nil {
			t.Logf("seed %d: %v", seed, err)
			return
		}
	}
	t.Error("a disk that loses what was flushed was not noticed")
}
