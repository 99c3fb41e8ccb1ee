package badgerstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kvorum/kvorum/libs/core/joining"
)

// formatVersion is of the files in the data directory. A higher one is refused.
const formatVersion = 1

// Identity says whose directory it is.
type Identity struct {
	ClusterID uint64 `json:"cluster_id"`
	NodeID    uint64 `json:"node_id"`
	Name      string `json:"name"`
}

// identityFile is DIR/IDENTITY, as JSON.
type identityFile struct {
	Format int `json:"format"`
	Identity
	// Initialized is false until the first start has created both databases.
	// Afterwards a missing database is damage and never created again: a node
	// that forgot its votes could vote twice.
	Initialized bool               `json:"initialized"`
	Membership  joining.Membership `json:"membership"`
	// Sum is the CRC-32C of the file's JSON without it: a bit of the membership
	// can be the difference between a node that may vote and one that must not.
	// Directories of before have none.
	Sum *uint32 `json:"sum,omitempty"`
}

// sum is what Sum must be.
func (f identityFile) sum() uint32 {
	f.Sum = nil
	raw, err := json.Marshal(f)
	if err != nil {
		panic(err) // numbers and texts only
	}
	return crc32.Checksum(raw, castagnoli)
}

// whole reports whether the file is as it was written.
func (f identityFile) whole() bool { return f.Sum == nil || *f.Sum == f.sum() }

// openIdentity stores want in a new directory and compares it with what an old
// one holds.
func openIdentity(dir string, want Identity) (file identityFile, err error) {
	path := filepath.Join(dir, "IDENTITY")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
			return file, corruptf(dir, "the file IDENTITY is missing beside a Raft log")
		}
		file = identityFile{Format: formatVersion, Identity: want}
		return file, writeIdentity(dir, file)
	}
	if err != nil {
		return file, fmt.Errorf("badgerstore: read the identity: %w", err)
	}
	var got identityFile
	if err := json.Unmarshal(raw, &got); err != nil {
		return file, corruptf(path, "not readable: %v", err)
	}
	switch {
	case got.Format > formatVersion:
		return file, fmt.Errorf("%w: %s has format %d, this version reads up to %d: start it with the version that wrote it or a newer one",
			ErrNewerFormat, dir, got.Format, formatVersion)
	case got.Format < 1:
		return file, corruptf(path, "format %d", got.Format)
	case !got.whole():
		return file, corruptf(path, "not what was written")
	case got.ClusterID != want.ClusterID:
		return file, fmt.Errorf("%w: %s is of cluster %016x (node %q), this is cluster %016x: use another directory, or the founding members and token of that cluster",
			ErrOtherCluster, dir, got.ClusterID, got.Name, want.ClusterID)
	case got.NodeID != want.NodeID || got.Name != want.Name:
		return file, fmt.Errorf("%w: %s is of node %q (%016x), this is node %q (%016x): use the directory of this node",
			ErrOtherNode, dir, got.Name, got.NodeID, want.Name, want.NodeID)
	}
	return got, nil
}

// writeIdentity replaces the file in one step that survives power loss.
func writeIdentity(dir string, file identityFile) error {
	// JSON would read it back as other text.
	file.Membership.Reason = strings.ToValidUTF8(file.Membership.Reason, "?")
	file.Sum = new(file.sum())
	raw, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, "IDENTITY"), append(raw, '\n')); err != nil {
		return fmt.Errorf("badgerstore: write the identity: %w", err)
	}
	return nil
}

// Membership is as last set; zero in a new directory. It is kept here because it
// must be as durable as the votes; what it says is the owner's to decide.
func (s *Store) Membership() joining.Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity.Membership
}

// SetMembership makes m durable.
func (s *Store) SetMembership(m joining.Membership) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.identity
	file.Membership = m
	if err := writeIdentity(s.dir, file); err != nil {
		return err
	}
	s.identity = file
	return nil
}

func replaceFile(path string, data []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
