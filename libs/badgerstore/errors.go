package badgerstore

import (
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Errors of Open. Each is wrapped in a text that names the directory.
var (
	// ErrInUse: another process has the directory open.
	ErrInUse = errors.New("badgerstore: directory is in use by another process")
	// ErrOtherNode: the directory belongs to another member of the cluster.
	ErrOtherNode = errors.New("badgerstore: directory belongs to another node")
	// ErrOtherCluster: the directory belongs to another cluster.
	ErrOtherCluster = errors.New("badgerstore: directory belongs to another cluster")
	// ErrNewerFormat: a newer version of the program wrote the directory.
	ErrNewerFormat = errors.New("badgerstore: directory was written by a newer version")
	// ErrNoSpace: the disk is too full to start.
	ErrNoSpace = errors.New("badgerstore: not enough free disk space")
	// ErrDescriptors: the process may open too few files.
	ErrDescriptors = errors.New("badgerstore: limit of open files is too low")
)

// rebuild is what to do about a damaged directory.
const rebuild = "empty this node's data directory and start it again: it copies the data from the other members, a majority of which must run"

// corruptf is store.ErrCorrupt about something in dir.
func corruptf(dir, format string, args ...any) error {
	return fmt.Errorf("badgerstore: %s: %s (%s): %w", dir, fmt.Sprintf(format, args...), rebuild, store.ErrCorrupt)
}

// guard turns a panic of Badger's, which damaged files cause, into err.
func guard(dir string, err *error) {
	if r := recover(); r != nil {
		*err = corruptf(dir, "the files are damaged: %v", firstLine(r))
	}
}

func firstLine(r any) string {
	const most = 200
	text := fmt.Sprint(r)
	for i, c := range text {
		if c == '\n' && i > 0 || i >= most {
			return text[:i]
		}
	}
	return text
}
