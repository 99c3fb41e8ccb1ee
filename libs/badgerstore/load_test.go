package badgerstore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"

	"github.com/kvorum/kvorum/libs/core/store"
)

// usage is what the process has taken so far.
type usage struct {
	cpu     time.Duration
	written int64 // bytes, to devices
}

func spent(b *testing.B) (u usage) {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.written = int64(procField(b, "/proc/self/io", "write_bytes:"))
	return u
}

// field is a number from a file of /proc.
func procField(b *testing.B, path, name string) (n uint64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if rest, ok := strings.CutPrefix(scanner.Text(), name); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n
}

// anonymous is the memory of the process that no file backs, in MiB.
func anonymous(b *testing.B) float64 {
	b.Helper()
	return float64(procField(b, "/proc/self/status", "RssAnon:")) / 1024
}

// put is what one command writes into the state.
func put(muts []store.Mutation, rng *rand.Rand, key uint64, ts store.TS) []store.Mutation {
	name := fmt.Appendf(nil, "\x01key/%016d", key)
	change := binary.BigEndian.AppendUint64([]byte{2}, uint64(ts))
	slot := binary.BigEndian.AppendUint64([]byte{3}, rng.Uint64N(100_000))
	value := make([]byte, 300)
	for i := 0; i+8 <= len(value); i += 8 {
		binary.LittleEndian.PutUint64(value[i:], rng.Uint64())
	}
	return append(muts,
		store.Mutation{Key: name, Value: value, TS: ts},
		store.Mutation{Key: change, Value: value[:60], TS: ts},
		store.Mutation{Key: slot, Value: value[:120], TS: ts},
	)
}

// BenchmarkPuts does with a store what a node does under a load of puts, one
// command an iteration: entries of 128 commands into the log, the look at
// what is there and the writes into the state, checkpoints and truncations.
func BenchmarkPuts(b *testing.B) {
	const commands, keys = 128, 100_000
	s, err := Open(config(b.TempDir(), nil))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	log, state := s.Log(), s.State()
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, commands*330)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	before, peak := spent(b), 0.0
	synced := make(chan uint64, 1)
	synced <- 0
	last := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	index := uint64(2)
	for done := 0; done < b.N; done += commands {
		batch := store.Batch{
			Entries: []*raftpb.Entry{entry(index, 1, append([]byte(nil), data...))},
			Hard:    &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(index)},
		}
		if time.Since(last) > 2*time.Second {
			select {
			case d := <-synced:
				last = time.Now()
				if d > 1 {
					batch.Checkpoint = d
				}
				go func(d uint64) {
					if err := state.Sync(); err != nil {
						panic(err)
					}
					synced <- d
				}(index - 1)
			default:
			}
			peak = max(peak, anonymous(b))
		}
		if err := log.Append(batch); err != nil {
			b.Fatal(err)
		}
		if batch.Checkpoint > 1001 {
			if err := log.Truncate(batch.Checkpoint - 1000); err != nil {
				b.Fatal(err)
			}
		}
		var muts []store.Mutation
		for n := range commands {
			ts := store.At(index, n)
			muts = put(muts, rng, rng.Uint64N(keys), ts)
			view, err := state.Read(ts - 1)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := view.Get(muts[len(muts)-3].Key); err != nil && !errors.Is(err, store.ErrNotFound) {
				b.Fatal(err)
			}
			view.Close()
		}
		if err := state.Write(muts); err != nil {
			b.Fatal(err)
		}
		index++
	}
	b.StopTimer()
	<-synced
	after := spent(b)
	puts := float64(index-2) * commands
	b.ReportMetric(float64(after.cpu-before.cpu)/puts/1000, "cpu-µs/put")
	b.ReportMetric(float64(after.written-before.written)/puts, "written-B/put")
	b.ReportMetric(max(peak, anonymous(b)), "peak-MiB")
}

// BenchmarkGet reads one key of 100,000 that are in tables.
func BenchmarkGet(b *testing.B) {
	const keys = 100_000
	cfg := config(b.TempDir(), nil)
	s := filledState(b, cfg, keys)
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		view, err := s.State().Read(store.EndOf(keys))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := view.Get(fmt.Appendf(nil, "\x01key/%016d", rng.Uint64N(keys))); err != nil {
			b.Fatal(err)
		}
		view.Close()
	}
}

// filledState opens a store anew after as many keys were put.
func filledState(b *testing.B, cfg Config, keys uint64) *Store {
	b.Helper()
	s, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	const step = 256
	rng := rand.New(rand.NewPCG(1, 1))
	for from := uint64(0); from < keys; from += step {
		var muts []store.Mutation
		for k := from; k < min(from+step, keys); k++ {
			muts = put(muts, rng, k, store.At(2+from/step, int(k-from)))
		}
		if err := s.State().Write(muts); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkFill puts as many keys as there are iterations into the folder
// KVORUM_FILL, from which BenchmarkOpen then starts.
func BenchmarkFill(b *testing.B) {
	dir := os.Getenv("KVORUM_FILL")
	if dir == "" {
		b.Skip("KVORUM_FILL is not set")
	}
	if b.N == 1 {
		return
	}
	before := spent(b)
	s := filledState(b, config(filepath.Join(dir, fmt.Sprint(b.N)), nil), uint64(b.N))
	b.ReportMetric(float64(spent(b).cpu-before.cpu)/float64(b.N)/1000, "cpu-µs/put")
	b.ReportMetric(anonymous(b), "anon-MiB")
	s.Close()
}

// BenchmarkOpen opens a filled folder with as many keys as it is named by,
// what the page cache has of it dropped, and reads one key.
func BenchmarkOpen(b *testing.B) {
	dir := os.Getenv("KVORUM_FILL")
	if dir == "" {
		b.Skip("KVORUM_FILL is not set")
	}
	folders, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, folder := range folders {
		b.Run(filepath.Base(folder), func(b *testing.B) {
			for range b.N {
				s, err := Open(config(folder, nil))
				if err != nil {
					b.Fatal(err)
				}
				view, err := s.State().Read(1 << 60)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := view.Get(fmt.Appendf(nil, "\x01key/%016d", 77)); err != nil {
					b.Fatal(err)
				}
				view.Close()
				b.StopTimer()
				b.ReportMetric(anonymous(b), "anon-MiB")
				runtime.GC()
				if err := s.Scrub(nil); err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
