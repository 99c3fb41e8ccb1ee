package badgerstore

import (
	"fmt"
	"os"
	"path/filepath"
)

// removeEmptyFiles removes the files of memtables and of the value log that have
// no bytes: their names had reached the device when power failed and nothing
// else. Badger refuses to open them. Nothing that a flush covered is lost by
// that, for a flushed file has the size that Badger gave it at the begin.
func removeEmptyFiles(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err == nil && info.Size() == 0 {
				err = os.Remove(path)
			}
			if err != nil {
				return fmt.Errorf("badgerstore: remove an empty file: %w", err)
			}
		}
	}
	return nil
}
