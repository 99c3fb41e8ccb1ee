package badgerstore

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

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
	// ErrNotClosed, also of Close: the database may still be at work in this
	// process, and write to its directory.
	ErrNotClosed = errors.New("badgerstore: not closed")
	// ErrDescriptors: the process may open too few files.
	ErrDescriptors = errors.New("badgerstore: limit of open files is too low")
)

// corruptf is store.ErrCorrupt about something in dir.
func corruptf(dir, format string, args ...any) error {
	return fmt.Errorf("badgerstore: %s: %s: %w", dir, fmt.Sprintf(format, args...), store.ErrCorrupt)
}

// refusals are errors of the environment and of the disk, after which the files
// may well be whole: a disk that did not answer once is no wrong checksum.
var refusals = []unix.Errno{
	unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.EINTR,
	unix.EACCES, unix.EPERM, unix.EROFS, unix.EIO, unix.EUCLEAN, unix.EBADMSG,
}

// unreadable is err about files in dir that must be readable: damage, unless
// environment or disk refused. Badger puts most errors into text.
func unreadable(dir string, err error) error {
	for _, e := range refusals {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return fmt.Errorf("badgerstore: read %s: %w", dir, err)
		}
	}
	return corruptf(dir, "%v", err)
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
