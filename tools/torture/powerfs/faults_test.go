//go:build linux

package powerfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFaults: a full, failing, hanging disk.
func TestFaults(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	f, err := os.Create(path)
	ok(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 64<<10))
	ok(t, err)
	disk.Quota(128 << 10)
	if _, err := f.WriteAt(make([]byte, 128<<10), 1<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write to a full disk: %v", err)
	}
	if _, err := f.WriteAt([]byte("over"), 0); err != nil {
		t.Errorf("writing over on a full disk: %v", err)
	}
	var st unix.Statfs_t
	ok(t, unix.Statfs(dir, &st))
	if free := st.Bavail * uint64(st.Bsize); free > 64<<10 {
		t.Errorf("%d bytes free", free)
	}
	disk.Quota(0)

	ok(t, f.Sync())
	_, err = f.WriteAt([]byte("lost"), 0)
	ok(t, err)
	disk.FailWrites(syscall.EIO)
	if _, err := f.WriteAt([]byte("failed"), 8); !errors.Is(err, unix.EIO) {
		t.Errorf("write: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("sync: %v", err)
	}
	if err := os.Rename(path, path+"2"); !errors.Is(err, unix.EIO) {
		t.Errorf("rename: %v", err)
	}
	disk.FailWrites(0)
	ok(t, f.Sync())
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "lost" {
		t.Errorf("read back: %q", b)
	}

	disk.Hang(true)
	done := make(chan error, 1)
	go func() {
		_, err := f.WriteAt([]byte("hung"), 0)
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("a write on a hung disk: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	disk.Hang(false)
	ok(t, <-done)
}

// TestFailedFlush: what a flush failed to cover is not covered by the next one.
func TestFailedFlush(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	lost := 0
	for seed := range uint64(20) {
		write(t, path, []byte("old"), true)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		ok(t, err)
		_, err = f.WriteAt([]byte("new"), 0)
		ok(t, err)
		disk.FailWrites(syscall.EIO)
		if err := f.Sync(); !errors.Is(err, unix.EIO) {
			t.Fatalf("sync: %v", err)
		}
		disk.FailWrites(0)
		ok(t, f.Sync())
		ok(t, f.Close())
		cut(t, disk, newRand(seed))
		got, err := os.ReadFile(path)
		ok(t, err)
		if string(got) == "old" {
			lost++
		}
	}
	if lost == 0 {
		t.Error("never lost")
	}
}
