package badgerstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

const childVariable = "KVORUM_BADGERSTORE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// dataOf is what the entry at index carries, whichever process wrote it.
func dataOf(index uint64) []byte {
	rng := rand.New(rand.NewPCG(index, 1))
	size := rng.IntN(600)
	if rng.IntN(20) == 0 {
		size = rng.IntN(1 << 20)
	}
	return bytes.Repeat([]byte{byte(index)}, size)
}

// keyOf, with the index as value, is what applying the entry writes.
func keyOf(index uint64) []byte { return fmt.Appendf(nil, "key%d", index%50) }

// child applies entries for ever and prints each index after Append returned,
// until it is killed.
func child(dir string) error {
	s, err := Open(config(dir, nil))
	if err != nil {
		return err
	}
	last, err := s.Log().LastIndex()
	if err != nil {
		return err
	}
	for i := last + 1; ; {
		var batch store.Batch
		for range 1 + i%7 {
			batch.Entries = append(batch.Entries, entry(i, 1, dataOf(i)))
			i++
		}
		batch.Hard = &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(i - 1)}
		if i%5 == 0 {
			if err := s.State().Sync(); err != nil {
				return err
			}
			batch.Checkpoint = batch.Entries[0].GetIndex() - 1
		}
		if err := s.Log().Append(batch); err != nil {
			return err
		}
		fmt.Println("acknowledged", i-1)
		if err := applyTo(s.State(), batch.Entries); err != nil {
			return err
		}
		if checkpoint := s.Log().Checkpoint(); i%11 == 0 && checkpoint > 300 {
			if err := s.Log().Truncate(checkpoint - 300); err != nil {
				return err
			}
		}
	}
}

func applyTo(s store.State, entries []*raftpb.Entry) error {
	var muts []store.Mutation
	for _, e := range entries {
		index := e.GetIndex()
		muts = append(muts, store.Mutation{Key: keyOf(index), Value: strconv.AppendUint(nil, index, 10), TS: store.At(index, 0)})
	}
	return s.Write(muts)
}

// TestKill kills a process that writes, again and again, and looks for what it
// had acknowledged.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		acknowledged := runChild(t, dir, 30+50*round)
		s := open(t, config(dir, nil))
		last, err := s.Log().LastIndex()
		ok(t, err)
		if last < acknowledged {
			t.Fatalf("round %d: entry %d was acknowledged, the log ends at %d", round, acknowledged, last)
		}
		checkLog(t, s, last)
		hard, _, err := s.Log().InitialState()
		ok(t, err)
		if hard.GetCommit() < acknowledged || hard.GetCommit() > last {
			t.Fatalf("round %d: commit %d, acknowledged %d, last %d", round, hard.GetCommit(), acknowledged, last)
		}
		checkState(t, s, s.Log().Checkpoint())
		replay(t, s, last)
		checkState(t, s, last)
		ok(t, s.Close())
	}
}

// runChild returns the last index that the child acknowledged before it was
// killed, after that many lines.
func runChild(t *testing.T, dir string, lines int) (acknowledged uint64) {
	t.Helper()
	exe, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		if n == lines {
			ok(t, cmd.Process.Kill())
		}
		acknowledged, err = strconv.ParseUint(strings.TrimPrefix(scanner.Text(), "acknowledged "), 10, 64)
		ok(t, err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acknowledged
}

// checkLog checks that every entry up to last is what dataOf says.
func checkLog(t *testing.T, s *Store, last uint64) {
	t.Helper()
	first, err := s.Log().FirstIndex()
	ok(t, err)
	got, err := s.Log().Entries(first, last+1, math.MaxUint64)
	ok(t, err)
	for i, e := range got {
		if want := first + uint64(i); e.GetIndex() != want || !bytes.Equal(e.GetData(), dataOf(want)) {
			t.Fatalf("entry %d is not the one written", want)
		}
	}
}

func replay(t *testing.T, s *Store, last uint64) {
	t.Helper()
	for i := s.Log().Checkpoint() + 1; i <= last; i++ {
		ok(t, applyTo(s.State(), []*raftpb.Entry{entry(i, 1, nil)}))
	}
}

// checkState checks every key as of the entry at index.
func checkState(t *testing.T, s *Store, index uint64) {
	t.Helper()
	v, err := s.State().Read(store.EndOf(index))
	ok(t, err)
	defer v.Close()
	for i := max(index, 51) - 49; i <= index; i++ {
		if got, err := v.Get(keyOf(i)); err != nil || string(got) != fmt.Sprint(i) {
			t.Fatalf("key %q as of %d: %q, %v", keyOf(i), index, got, err)
		}
	}
}

// used is up to where a file holds data.
func used(t *testing.T, path string) int64 {
	t.Helper()
	raw, _, err := content(path)
	ok(t, err)
	return int64(len(bytes.TrimRight(raw, "\x00")))
}

func onlyFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	ok(t, err)
	if len(found) != 1 {
		t.Fatalf("%d files %s in %s", len(found), pattern, dir)
	}
	return found[0]
}

// change edits a file in place.
func change(t *testing.T, path string, at int64, edit func(b []byte)) {
	t.Helper()
	raw, _, err := content(path)
	ok(t, err)
	edit(raw[min(at, int64(len(raw))):])
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	_, err = f.WriteAt(raw, 0)
	ok(t, errors.Join(err, f.Close()))
}

// TestTornTail cuts the log's file inside the batch that was written last.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s := open(t, config(dir, nil))
	mem := onlyFile(t, dir, "log/*.mem")
	var before int64
	const batches = 12
	for i := uint64(0); i < batches; i++ {
		before = used(t, mem)
		first := 2 + 3*i
		ok(t, s.Log().Append(store.Batch{
			Entries: []*raftpb.Entry{entry(first, 1, dataOf(first)), entry(first+1, 1, dataOf(first+1)), entry(first+2, 1, dataOf(first+2))},
			Hard:    &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(first + 2)},
		}))
	}
	after := used(t, mem)
	const kept, whole = 1 + 3*(batches-1), 1 + 3*batches
	rng := rand.New(rand.NewPCG(1, 1))
	for _, cut := range []int64{before, before + 1, after - 1, after, before + rng.Int64N(after-before), before + rng.Int64N(after-before)} {
		torn := image(t, dir)
		change(t, onlyFile(t, torn, "log/*.mem"), cut, func(b []byte) { clear(b) })
		s := open(t, config(torn, nil))
		last, err := s.Log().LastIndex()
		ok(t, err)
		if last != kept && last != whole {
			t.Fatalf("cut at %d of %d..%d: the log ends at %d, want %d or %d", cut, before, after, last, kept, whole)
		}
		checkLog(t, s, last)
		hard, _, err := s.Log().InitialState()
		ok(t, err)
		if hard.GetCommit() != last {
			t.Fatalf("cut at %d: commit %d with last %d", cut, hard.GetCommit(), last)
		}
		ok(t, s.Log().Append(store.Batch{Entries: []*raftpb.Entry{entry(last+1, 1, dataOf(last+1))}}))
		ok(t, s.Close())
	}
}

// TestTornSplitBatch cuts a batch of many transactions: what is left is a
// prefix of it, with no commit index past its end.
func TestTornSplitBatch(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	cfg.tune.partBytes = 1
	s := open(t, cfg)
	mem := onlyFile(t, cfg.Dir, "log/*.mem")
	before := used(t, mem)
	var batch store.Batch
	const last = 12
	for i := uint64(2); i <= last; i++ {
		batch.Entries = append(batch.Entries, entry(i, 1, dataOf(i)))
	}
	batch.Hard = &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(uint64(last))}
	ok(t, s.Log().Append(batch))
	after := used(t, mem)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 10 {
		torn := image(t, cfg.Dir)
		change(t, onlyFile(t, torn, "log/*.mem"), before+rng.Int64N(after-before), func(b []byte) { clear(b) })
		s := open(t, config(torn, nil))
		got, err := s.Log().LastIndex()
		ok(t, err)
		checkLog(t, s, got)
		if hard, _, err := s.Log().InitialState(); err != nil || hard.GetCommit() > got {
			t.Fatalf("commit %d with last %d, %v", hard.GetCommit(), got, err)
		}
		ok(t, s.Close())
	}
}

// TestDamagedValue: a value of the state that changed on the disk is refused
// by every way to read it.
func TestDamagedValue(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	s := open(t, cfg)
	needle := []byte("this is the value to find")
	ok(t, s.State().Write([]store.Mutation{{Key: []byte("k"), Value: needle, TS: 2000}}))
	ok(t, s.Close())
	path := onlyFile(t, cfg.Dir, "state-1/*.sst")
	s = open(t, cfg)
	change(t, path, 0, func(b []byte) { b[bytes.Index(b, needle)+3] ^= 1 })
	v, err := s.State().Read(2000)
	ok(t, err)
	defer v.Close()
	if _, err := v.Get([]byte("k")); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Get: %v", err)
	}
	it := v.Scan(nil, nil, false)
	defer it.Close()
	if !it.Next() || it.Value() != nil || !errors.Is(it.Err(), store.ErrCorrupt) {
		t.Errorf("Scan: %v", it.Err())
	}
	if err := v.Versions(func(store.Mutation) error { return nil }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Versions: %v", err)
	}
	if err := s.Scrub(nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Scrub: %v", err)
	}
}

// filled is a node with entries 2..101 in batches of two, all applied, and a
// checkpoint at 90 and entries after it.
func filled(t *testing.T, dir string) *Store {
	t.Helper()
	s := open(t, config(dir, nil))
	for i := uint64(2); i < 102; i += 2 {
		batch := store.Batch{Entries: []*raftpb.Entry{entry(i, 1, dataOf(i)), entry(i+1, 1, dataOf(i+1))}}
		if i == 92 {
			ok(t, s.State().Sync())
			batch.Checkpoint = 90
		}
		ok(t, s.Log().Append(batch))
		ok(t, applyTo(s.State(), batch.Entries))
	}
	return s
}

// TestFlippedBits: whatever bit is wrong, opening or reading fails or what is
// read is right. Only the last batch may be missing: it looks like one that
// was being written when power failed.
func TestFlippedBits(t *testing.T) {
	live := t.TempDir()
	s := filled(t, live)
	killed := image(t, live)
	ok(t, s.Close())
	closed := image(t, live)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct{ name, dir, pattern string }{
		{"log memtable", killed, "log/*.mem"},
		{"log table", closed, "log/*.sst"},
		{"state memtable", killed, "state-1/*.mem"},
		{"state table", closed, "state-1/*.sst"},
	} {
		if err := readAll(image(t, c.dir), 0); err != nil {
			t.Fatalf("undamaged: %v", err)
		}
		refused := 0
		const rounds = 8
		for round := range rounds {
			dir := image(t, c.dir)
			path := onlyFile(t, dir, c.pattern)
			at, bit := rng.Int64N(used(t, path)), rng.IntN(8)
			change(t, path, at, func(b []byte) { b[0] ^= 1 << bit })
			atOnceBytes := int64(round % 2) // Open verifies the tables, or leaves them to Scrub
			if err := readAll(dir, atOnceBytes); err != nil {
				refused++
				continue
			}
		}
		t.Logf("%s: %d of %d refused", c.name, refused, rounds)
		if refused == 0 {
			t.Errorf("%s: no damage was noticed", c.name)
		}
	}
}

// errWrong is what a test must not see: wrong data without an error.
var errWrong = errors.New("wrong data was served")

// readAll opens a copy of filled and reads everything.
func readAll(dir string, atOnceBytes int64) error {
	cfg := config(dir, nil)
	cfg.tune.atOnceBytes = atOnceBytes
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	last, err := s.Log().LastIndex()
	if err != nil {
		return err
	}
	if last < 99 || last > 101 {
		panic(errWrong)
	}
	got, err := s.Log().Entries(2, last+1, math.MaxUint64)
	if err != nil {
		return err
	}
	for i, e := range got {
		if e.GetIndex() != uint64(i)+2 || !bytes.Equal(e.GetData(), dataOf(e.GetIndex())) {
			panic(errWrong)
		}
	}
	if err := s.Scrub(nil); err != nil {
		return err
	}
	v, err := s.State().Read(store.EndOf(90))
	if err != nil {
		return err
	}
	defer v.Close()
	it := v.Scan(nil, nil, false)
	defer it.Close()
	n := 0
	for ; it.Next(); n++ {
		value := it.Value()
		if it.Err() != nil {
			break
		}
		index, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil || index <= 40 || index > 90 || !bytes.Equal(it.Key(), keyOf(index)) {
			panic(errWrong)
		}
	}
	if it.Err() == nil && n != 50 {
		panic(errWrong)
	}
	return it.Err()
}
