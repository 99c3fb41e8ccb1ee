package badgerstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/core/joining"
	"github.com/kvorum/kvorum/libs/core/store"
)

// damageFile is DIR/DAMAGED, as JSON. While it is there the directory is not
// opened: what was found by reading all of it may not show at the next start.
//
// Replace is set once another copy of the data is sure. From then on the files
// beside it are moved into DIR/damaged, and the directory begins anew as
// Replace says, from its first moment: a crash between any two steps leaves a
// directory from which the next Open goes on, and never one that looks empty.
type damageFile struct {
	Reason  string        `json:"reason"`
	Since   time.Time     `json:"since"`
	Replace *identityFile `json:"replace,omitempty"`
	// Drop: the files beside it are of a rebuild that was not finished, and go;
	// what was set aside before stays.
	Drop bool `json:"drop,omitempty"`
}

const (
	damageName = "DAMAGED"
	asideName  = "damaged"
)

// DamageFile is the path of the file that keeps a damaged directory from being
// opened.
func DamageFile(dir string) string { return filepath.Join(dir, damageName) }

// AsideDir is where Replace puts the damaged files of a directory.
func AsideDir(dir string) string { return filepath.Join(dir, asideName) }

// NoteDamage has every later Open of the directory fail with store.ErrCorrupt
// and the reason that was noted first, until Replace. Of a closed store it is
// store.ErrClosed: the directory may be another's by then.
func (s *Store) NoteDamage(reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	switch found, err := readDamage(s.dir); {
	case err != nil:
		return err
	case found != nil:
		return nil
	}
	return writeDamage(s.dir, damageFile{Reason: reason, Since: time.Now().UTC()})
}

// Replace sets the files of a damaged directory aside and begins anew with m.
// Where older ones have been set aside already, those stay and the newer ones
// go: they are of a rebuild that was not finished. It is called only when m's
// node has another source of its data, on a directory that nobody has open.
func Replace(cfg Config, m joining.Membership) error {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.release()
	found, err := readDamage(cfg.Dir)
	if err != nil {
		return err
	}
	next := &identityFile{Format: formatVersion, Identity: cfg.Identity, Membership: m}
	file := damageFile{Reason: m.Reason, Since: time.Now().UTC(), Replace: next}
	if found != nil && found.Replace != nil {
		file.Drop = found.Drop // it was interrupted
	} else {
		_, err := os.Stat(AsideDir(cfg.Dir))
		file.Drop = err == nil
	}
	if err := writeDamage(cfg.Dir, file); err != nil {
		return err
	}
	return settleDamage(cfg.Dir, cfg.Identity)
}

// ForgetDamaged removes what Replace has set aside.
func (s *Store) ForgetDamaged() error { return os.RemoveAll(AsideDir(s.dir)) }

// FoundersIn reads the founders that a damaged directory knows; nil if that
// cannot be read.
func FoundersIn(dir string) map[uint64]uint64 {
	raw, err := os.ReadFile(filepath.Join(dir, "IDENTITY"))
	var file identityFile
	if err != nil || json.Unmarshal(raw, &file) != nil || !file.whole() {
		return nil
	}
	return file.Membership.Founders
}

// settleDamage refuses a damaged directory, or finishes what Replace began.
func settleDamage(dir string, want Identity) error {
	found, err := readDamage(dir)
	if err != nil || found == nil {
		return err
	}
	next := found.Replace
	if next == nil {
		return corruptf(dir, "found at %s: %s", found.Since.Format(time.RFC3339), found.Reason)
	}
	if next.Identity != want {
		return fmt.Errorf("%w: %s is being rebuilt as node %q of cluster %016x", ErrOtherNode, dir, next.Name, next.ClusterID)
	}
	if err := setAside(dir, found.Drop); err != nil {
		return fmt.Errorf("badgerstore: set the damaged files aside: %w", err)
	}
	if err := writeIdentity(dir, *next); err != nil {
		return err
	}
	if err := os.Remove(DamageFile(dir)); err != nil {
		return fmt.Errorf("badgerstore: begin anew: %w", err)
	}
	return syncDir(dir)
}

// setAside moves, or with drop removes, all that Open would read.
func setAside(dir string, drop bool) error {
	aside := AsideDir(dir)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name != "IDENTITY" && name != "log" && !strings.HasPrefix(name, "state-") {
			continue
		}
		from, to := filepath.Join(dir, name), filepath.Join(aside, name)
		if _, missing := os.Stat(to); drop || missing == nil {
			err = os.RemoveAll(from) // what is aside already came first
		} else {
			err = os.Rename(from, to)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(syncDir(aside), syncDir(dir))
}

func readDamage(dir string) (*damageFile, error) {
	raw, err := os.ReadFile(DamageFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("badgerstore: read what is damaged: %w", err)
	}
	var file damageFile
	if err := json.Unmarshal(raw, &file); err != nil {
		// Its being there says enough.
		return &damageFile{Reason: fmt.Sprintf("the file %s is not readable: %v", DamageFile(dir), err)}, nil
	}
	return &file, nil
}

func writeDamage(dir string, file damageFile) error {
	raw, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := replaceFile(DamageFile(dir), append(raw, '\n')); err != nil {
		return fmt.Errorf("badgerstore: note the damage: %w", err)
	}
	return nil
}
