package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/store"
)

var oldMember = joining.Membership{Incarnation: 11, State: joining.StateMember, Founders: map[uint64]uint64{1: 11}}
var newMember = joining.Membership{Incarnation: 22, State: joining.StateReplaced, MinTerm: 5, Reason: "a bit"}

// memberDir makes a directory of a member with a key in its state.
func memberDir(t *testing.T) Config {
	t.Helper()
	cfg := config(t.TempDir(), nil)
	s := open(t, cfg)
	ok(t, s.SetMembership(oldMember))
	ok(t, s.State().Write([]store.Mutation{{Key: []byte("k"), Value: []byte("v"), TS: 2048}}))
	ok(t, s.State().Sync())
	ok(t, s.Close())
	return cfg
}

// begunAnew checks that a directory opens empty, as newMember, and that the
// files of before are aside.
func begunAnew(t *testing.T, cfg Config) {
	t.Helper()
	s := open(t, cfg)
	defer s.Close()
	if m := s.Membership(); m.Incarnation != newMember.Incarnation || m.State != newMember.State || m.MinTerm != 5 || m.Reason != "a bit" {
		t.Errorf("membership %+v", m)
	}
	view, err := s.State().Read(5000)
	ok(t, err)
	defer view.Close()
	if _, err := view.Get([]byte("k")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the state is not empty: %v", err)
	}
	if found := FoundersIn(AsideDir(cfg.Dir)); found[1] != 11 {
		t.Errorf("the founders aside: %v", found)
	}
	for _, name := range []string{"log", "state-1"} {
		if _, err := os.Stat(filepath.Join(AsideDir(cfg.Dir), name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(DamageFile(cfg.Dir)); err == nil {
		t.Error("it is still noted as damaged")
	}
}

// A directory that was noted as damaged is not opened, whatever its files say.
func TestNoteDamage(t *testing.T) {
	cfg := memberDir(t)
	s := open(t, cfg)
	ok(t, s.NoteDamage("the first reason"))
	ok(t, s.NoteDamage("another"))
	ok(t, s.Close())
	if err := s.NoteDamage("late"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("noted in a directory that is not its own any more: %v", err)
	}
	for range 2 {
		_, err := Open(cfg)
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "the first reason") {
			t.Fatalf("Open: %v", err)
		}
	}
	ok(t, os.WriteFile(DamageFile(cfg.Dir), []byte("{"), 0o600))
	if _, err := Open(cfg); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("Open with an unreadable note: %v", err)
	}
	ok(t, Replace(cfg, newMember))
	begunAnew(t, cfg)
}

// Whatever step of Replace a crash comes after, the next Open goes on; at no
// time is there a directory that looks new.
func TestReplaceIsInterrupted(t *testing.T) {
	steps := []string{"IDENTITY", "log", "state-1"}
	for done := range len(steps) + 2 {
		cfg := memberDir(t)
		next := &identityFile{Format: formatVersion, Identity: cfg.Identity, Membership: newMember}
		ok(t, writeDamage(cfg.Dir, damageFile{Reason: "a bit", Since: time.Now(), Replace: next}))
		ok(t, os.MkdirAll(AsideDir(cfg.Dir), 0o700))
		for _, name := range steps[:min(done, len(steps))] {
			ok(t, os.Rename(filepath.Join(cfg.Dir, name), filepath.Join(AsideDir(cfg.Dir), name)))
		}
		if done > len(steps) {
			ok(t, writeIdentity(cfg.Dir, *next))
		}
		begunAnew(t, cfg)
		begunAnew(t, cfg) // and stays so
	}
	cfg := memberDir(t)
	other := cfg
	other.Identity.NodeID++
	ok(t, writeDamage(cfg.Dir, damageFile{Replace: &identityFile{Format: formatVersion, Identity: cfg.Identity}}))
	if _, err := Open(other); !errors.Is(err, ErrOtherNode) {
		t.Errorf("Open by another node: %v", err)
	}
}

// What was set aside first stays until the node is whole, and goes then.
func TestReplacedAgain(t *testing.T) {
	cfg := memberDir(t)
	ok(t, Replace(cfg, newMember))
	begunAnew(t, cfg)
	ok(t, os.Mkdir(filepath.Join(cfg.Dir, "state-9"), 0o700))
	ok(t, Replace(cfg, newMember))
	begunAnew(t, cfg)
	if _, err := os.Stat(filepath.Join(AsideDir(cfg.Dir), "state-9")); err == nil {
		t.Error("files of two copies were mixed")
	}
	s := open(t, cfg)
	ok(t, s.ForgetDamaged())
	if _, err := os.Stat(AsideDir(cfg.Dir)); err == nil {
		t.Error("what was set aside is still there")
	}
}

// A table that a crash cut short while it was written is not the database's, a
// listed one that is missing is damage, and so is a missing list.
func TestListedTables(t *testing.T) {
	cfg := config(t.TempDir(), nil)
	s := open(t, cfg)
	ok(t, s.State().Write([]store.Mutation{{Key: []byte("k"), Value: []byte("v"), TS: 2048}}))
	ok(t, s.Close())
	dir := filepath.Join(cfg.Dir, "state-1")
	ok(t, os.WriteFile(filepath.Join(dir, "000099.sst"), make([]byte, 100), 0o600))
	ok(t, open(t, cfg).Close())
	for _, name := range []string{"000001.sst", "MANIFEST"} {
		path := filepath.Join(dir, name)
		ok(t, os.Rename(path, path+".away"))
		if _, err := Open(cfg); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("without %s: %v", name, err)
		}
		ok(t, os.Rename(path+".away", path))
	}
	ok(t, open(t, cfg).Close())
}

// Damage is told from an environment that refuses and from a disk that fails:
// after that the files may be whole, and no note of damage may outlive it.
func TestUnreadable(t *testing.T) {
	for text, damaged := range map[string]bool{
		"open x: too many open files":      false,
		"write: no space left on device":   false,
		"permission denied":                false,
		"read x: input/output error":       false,
		"read x: structure needs cleaning": false,
		"manifest has bad magic":           true,
	} {
		if err := unreadable("d", errors.New(text)); errors.Is(err, store.ErrCorrupt) != damaged {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A scrub waits as it is told, and ends when told to.
func TestScrubIsPaced(t *testing.T) {
	cfg := memberDir(t)
	s := open(t, cfg)
	read := 0
	ok(t, s.Scrub(func(bytes int) error { read += bytes; return nil }))
	if read == 0 {
		t.Error("it has read nothing")
	}
	stop := errors.New("stop")
	if err := s.Scrub(func(int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("it went on: %v", err)
	}
	ok(t, s.Close())
	if err := s.Scrub(nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
}
