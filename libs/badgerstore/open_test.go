package badgerstore

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kvorum/kvorum/libs/core/store"
)

func openPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	ok(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

// TestOpenRefuses: whatever is wrong with a directory is named, with what to
// do, and the directory stays as it is.
func TestOpenRefuses(t *testing.T) {
	other := func(change func(*Config)) func(*testing.T, *Config) {
		return func(_ *testing.T, c *Config) { change(c) }
	}
	remove := func(pattern string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			found, err := filepath.Glob(filepath.Join(c.Dir, pattern))
			ok(t, err)
			for _, path := range found {
				ok(t, os.RemoveAll(path))
			}
		}
	}
	write := func(name, text string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			ok(t, os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o600))
		}
	}
	for _, c := range []struct {
		name   string
		break_ func(*testing.T, *Config)
		want   error
		says   string
	}{
		{"another cluster", other(func(c *Config) { c.Identity.ClusterID++ }), ErrOtherCluster, "founding members"},
		{"another node", other(func(c *Config) { c.Identity.NodeID++ }), ErrOtherNode, `node "node-1"`},
		{"another name", other(func(c *Config) { c.Identity.Name = "x" }), ErrOtherNode, `node "x"`},
		{"newer format", write("IDENTITY", `{"format":2,"cluster_id":7,"node_id":1,"name":"node-1"}`), ErrNewerFormat, "format 2"},
		{"damaged identity", write("IDENTITY", `{"format"`), store.ErrCorrupt, "IDENTITY"},
		{"empty identity", write("IDENTITY", `{}`), store.ErrCorrupt, "IDENTITY"},
		{"no identity", remove("IDENTITY"), store.ErrCorrupt, "IDENTITY"},
		{"no log", remove("log"), store.ErrCorrupt, "log"},
		{"an emptied log", remove("log/*"), store.ErrCorrupt, "log"},
		{"no state", remove("state-*"), store.ErrCorrupt, "state"},
		{"an emptied state", remove("state-1/*"), store.ErrCorrupt, "state"},
		{"no manifest", remove("log/MANIFEST"), nil, "log"},
		{"a lost table", remove("state-1/*.sst"), nil, "state-1"},
		{"no space", other(func(c *Config) { c.MinFreeBytes = math.MaxInt64 }), ErrNoSpace, "free some space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(t.TempDir(), nil)
			ok(t, filled(t, cfg.Dir).Close())
			c.break_(t, &cfg)
			s, err := Open(cfg)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), cfg.Dir) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the error does not say enough: %v", err)
			}
		})
	}
}

// TestCutTable: Badger panics over it.
func TestCutTable(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	ok(t, filled(t, cfg.Dir).Close())
	path := onlyFile(t, cfg.Dir, "state-1/*.sst")
	ok(t, os.Truncate(path, used(t, path)/2))
	s, err := Open(cfg)
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	if !strings.Contains(err.Error(), cfg.Dir) {
		t.Fatalf("the error does not name the directory: %v", err)
	}
	t.Log(err)
}

func TestInUse(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	s := open(t, cfg)
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Fatalf("error %v", err)
	}
	ok(t, s.Close())
	ok(t, open(t, cfg).Close())
}

func TestTooFewDescriptors(t *testing.T) {
	var limit unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	low := unix.Rlimit{Cur: 500, Max: limit.Max}
	if err := descriptorsEnough(low); !errors.Is(err, ErrDescriptors) {
		t.Fatalf("error %v", err)
	}
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	ok(t, checkDescriptors()) // It raises the soft limit first.
	var raised unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &raised))
	if raised.Cur != limit.Max {
		t.Fatalf("limit %d, want %d", raised.Cur, limit.Max)
	}
}

// TestFirstStartAgain: a first start that was interrupted is begun again.
func TestFirstStartAgain(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	ok(t, writeIdentity(cfg.Dir, identityFile{Format: formatVersion, Identity: cfg.Identity}))
	ok(t, open(t, cfg).Close())
	ok(t, writeIdentity(cfg.Dir, identityFile{Format: formatVersion, Identity: cfg.Identity}))
	ok(t, os.RemoveAll(filepath.Join(cfg.Dir, "state-1")))
	s := open(t, cfg)
	first, err := s.Log().FirstIndex()
	ok(t, err)
	if first != 2 {
		t.Fatalf("the log starts at %d", first)
	}
}

// TestUnusedStatesAreRemoved by an Install and by Open.
func TestUnusedStatesAreRemoved(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	s := filled(t, cfg.Dir)
	in, err := s.Receive()
	ok(t, err)
	ok(t, in.Finish())
	ok(t, s.Log().Append(store.Batch{Install: &store.Install{Snapshot: cfg.Bootstrap, State: in}}))
	if got := onlyFile(t, cfg.Dir, "state-*"); filepath.Base(got) != "state-2" {
		t.Fatalf("state %s after an Install", got)
	}
	_, err = s.Receive()
	ok(t, err)
	left := image(t, cfg.Dir)
	if found, _ := filepath.Glob(filepath.Join(left, "state-*")); len(found) != 2 {
		t.Fatalf("states %v while one is received", found)
	}
	cfg.Dir = left
	open(t, cfg)
	if got := onlyFile(t, left, "state-*"); filepath.Base(got) != "state-2" {
		t.Fatalf("state %s after a kill", got)
	}
}

func TestFreeBytes(t *testing.T) {
	s := open(t, config(t.TempDir(), nil))
	if free, err := s.FreeBytes(); err != nil || free == 0 {
		t.Fatalf("%d bytes free, %v", free, err)
	}
}

// TestIdentityFlipped: no bit of the identity may flip unseen. A node that was
// replaced would vote, or take its log for one that was never founded.
func TestIdentityFlipped(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	file := identityFile{Format: formatVersion, Identity: cfg.Identity, Initialized: true, Membership: newMember}
	ok(t, writeIdentity(cfg.Dir, file))
	path := filepath.Join(cfg.Dir, "IDENTITY")
	whole, err := os.ReadFile(path)
	ok(t, err)
	odd := file
	odd.Membership.Reason = "<&>\u2028\ufffd\xff\xe2"
	ok(t, writeIdentity(cfg.Dir, odd))
	_, err = openIdentity(cfg.Dir, cfg.Identity)
	ok(t, err)
	ok(t, writeIdentity(cfg.Dir, file))
	want, err := openIdentity(cfg.Dir, cfg.Identity)
	ok(t, err)
	if want.Membership.State != newMember.State || !want.Initialized {
		t.Fatalf("read back as %+v", want)
	}
	for bit := range len(whole) * 8 {
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		ok(t, os.WriteFile(path, flipped, 0o600))
		got, err := openIdentity(cfg.Dir, cfg.Identity)
		if got.Sum, want.Sum = nil, nil; err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("bit %d of %s: taken for %+v", bit, whole, got)
		}
	}
}
