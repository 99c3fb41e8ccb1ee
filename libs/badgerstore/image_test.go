package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// image copies what a process that is killed now leaves behind. Badger may be
// making tables of memtables meanwhile: what it did to the files during the copy
// is told by their names and sizes, and then the copy is made again.
func image(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := t.TempDir()
		before, err := listing(dir)
		ok(t, err)
		err = copyFiles(to, dir)
		after, err2 := listing(dir)
		ok(t, err2)
		if before != after {
			continue
		}
		ok(t, err)
		return to
	}
}

// listing tells the names and sizes of all files below dir, again and again
// until none disappears on the way.
func listing(dir string) (list string, err error) {
	for {
		list = ""
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && !d.IsDir() {
				list += fmt.Sprintln(path, info.Size())
			}
			return err
		})
		if !errors.Is(err, fs.ErrNotExist) {
			return list, err
		}
	}
}

func copyFiles(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(to, rel), 0o700))
		}
		return copyFile(filepath.Join(to, rel), path)
	})
}

// copyFile copies up to the first hole and keeps the size: Badger makes its
// files large and fills them from the start.
func copyFile(to, from string) error {
	raw, size, err := content(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		return err
	}
	return os.Truncate(to, size)
}

// content is what a file holds before its first hole.
func content(path string) (raw []byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, 0, err
	}
	end, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil {
		return nil, 0, err
	}
	raw = make([]byte, end)
	_, err = f.ReadAt(raw, 0)
	return raw, info.Size(), err
}
