package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kvorum/kvorum/libs/core/store"
)

// large is a directory whose state has a table that Open leaves to Scrub: the
// needle is in the first of its blocks.
func large(t *testing.T) (cfg Config, table string, needle []byte) {
	t.Helper()
	cfg = config(t.TempDir(), nil)
	s := open(t, cfg)
	needle = []byte("this is the value to find")
	muts := []store.Mutation{{Key: []byte("a"), Value: needle, TS: 2048}}
	for i := range byte(100) {
		muts = append(muts, store.Mutation{Key: []byte{'b', i}, Value: bytes.Repeat([]byte{i}, 1000), TS: 2048})
	}
	ok(t, s.State().Write(muts))
	ok(t, s.Close())
	cfg.tune.atOnceBytes = 1
	return cfg, onlyFile(t, cfg.Dir, "state-1/*.sst"), needle
}

func flipIn(t *testing.T, path string, needle []byte) {
	t.Helper()
	change(t, path, 0, func(b []byte) { b[bytes.Index(b, needle)+3] ^= 1 })
}

// What Open leaves unverified, a Scrub finds; and should the process end before
// that, the next Open, whatever else it would leave.
func TestVerifiedLater(t *testing.T) {
	cfg, table, needle := large(t)
	flipIn(t, table, needle)
	s := open(t, cfg)
	if !s.Unverified() {
		t.Fatal("all was verified")
	}
	if err := s.Scrub(nil); !errors.Is(err, store.ErrCorrupt) || !s.Unverified() {
		t.Fatalf("Scrub: %v", err)
	}
	killed := cfg
	killed.Dir = image(t, cfg.Dir)
	ok(t, s.Close())
	for _, cfg := range []Config{killed, cfg} {
		if _, err := Open(cfg); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Open after a process that did not finish: %v", err)
		}
	}
}

// Once all was verified the next Open leaves it to Scrub again, after an
// unfinished verification as well.
func TestVerifiedOnce(t *testing.T) {
	cfg, table, needle := large(t)
	for _, finished := range []bool{true, false, false, true} {
		_, unfinished := os.Stat(filepath.Join(cfg.Dir, "UNVERIFIED"))
		s := open(t, cfg)
		if s.Unverified() != (unfinished != nil) {
			t.Fatalf("unverified: %v, after an unfinished verification: %v", s.Unverified(), unfinished == nil)
		}
		if finished {
			ok(t, s.Scrub(nil))
			if s.Unverified() {
				t.Fatal("unverified after a scrub")
			}
		}
		ok(t, s.Close())
	}
	flipIn(t, table, needle)
	open(t, cfg)
}

// Open itself finds what would end the process when Badger opens a table, and
// a table that is cut off or missing.
func TestVerifiedByOpen(t *testing.T) {
	for name, damage := range map[string]func(path string, size int64) error{
		"the last block": func(path string, size int64) error {
			// Numbers of entries and offsets are before the index.
			raw, err := os.ReadFile(path)
			at := bytes.LastIndex(raw, bytes.Repeat([]byte{99}, 1000)) + 1001
			raw[at] ^= 0x40
			return errors.Join(err, os.WriteFile(path, raw, 0o600))
		},
		"the index": func(path string, size int64) error {
			raw, err := os.ReadFile(path)
			raw[size-200] ^= 1
			return errors.Join(err, os.WriteFile(path, raw, 0o600))
		},
		"cut off": func(path string, size int64) error { return os.Truncate(path, size/2) },
		"missing": func(path string, size int64) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, table, _ := large(t)
			info, err := os.Stat(table)
			ok(t, err)
			ok(t, damage(table, info.Size()))
			if s, err := Open(cfg); !errors.Is(err, store.ErrCorrupt) {
				if err == nil {
					s.Close()
				}
				t.Errorf("Open: %v", err)
			}
		})
	}
}
