//go:build linux

package powerfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mounted is a disk that ends with the test, and where it is mounted.
func mounted(t *testing.T, opts Options) (*FS, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a file system takes root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("SKIPPED: no FUSE here: %v", err)
	}
	dir := t.TempDir()
	mountpoint := filepath.Join(dir, "mnt")
	disk, err := Mount(mountpoint, filepath.Join(dir, "backing"), opts)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("SKIPPED: no permission to mount: %v", err)
	}
	ok(t, err)
	t.Cleanup(func() { ok(t, disk.Close()) })
	return disk, mountpoint
}

func cut(t *testing.T, disk *FS, rng *rand.Rand) Loss {
	t.Helper()
	loss, err := disk.Cut(rng)
	ok(t, err)
	ok(t, disk.Restore())
	return loss
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func syncDir(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	ok(t, err)
	ok(t, d.Sync())
	ok(t, d.Close())
}

// write writes a file as a whole, flushed or not.
func write(t *testing.T, path string, data []byte, flush bool) {
	t.Helper()
	f, err := os.Create(path)
	ok(t, err)
	_, err = f.Write(data)
	ok(t, err)
	if flush {
		ok(t, f.Sync())
	}
	ok(t, f.Close())
}

// TestContent: after a cut each sector of a file is as at its last flush or as
// some write since made it, and over many cuts all of that happens.
func TestContent(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	const sectors = 24
	version := func(n byte) []byte { return bytes.Repeat([]byte{n}, sectorBytes) }
	seen := make(map[string]int)
	for seed := range uint64(60) {
		rng := newRand(seed)
		flushed, latest := [sectors]byte{}, [sectors]byte{}
		write(t, path, bytes.Repeat(version(1), sectors), true)
		for i := range flushed {
			flushed[i], latest[i] = 1, 1
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		ok(t, err)
		for n := byte(2); n < 40; n++ {
			at, length := rng.IntN(sectors), 1+rng.IntN(8)
			length = min(length, sectors-at)
			_, err := f.WriteAt(bytes.Repeat(version(n), length), int64(at*sectorBytes))
			ok(t, err)
			for i := at; i < at+length; i++ {
				latest[i] = n
			}
			if rng.IntN(12) == 0 {
				ok(t, f.Sync())
				flushed = latest
			}
		}
		f.Close()
		cut(t, disk, rng)
		got, err := os.ReadFile(path)
		ok(t, err)
		if len(got) != sectors*sectorBytes {
			t.Fatalf("seed %d: the file has %d bytes", seed, len(got))
		}
		for i := range sectors {
			sector := got[i*sectorBytes : (i+1)*sectorBytes]
			if !bytes.Equal(sector, version(sector[0])) || sector[0] < flushed[i] || sector[0] > latest[i] {
				t.Fatalf("seed %d: sector %d is %d, was flushed as %d and written as %d", seed, i, sector[0], flushed[i], latest[i])
			}
			switch {
			case flushed[i] == latest[i]:
				seen["flushed"]++
			case sector[0] == flushed[i]:
				seen["lost"]++
			case sector[0] == latest[i]:
				seen["kept"]++
			default:
				seen["between"]++
			}
		}
	}
	t.Log(seen)
	if len(seen) != 4 {
		t.Error("not all outcomes were seen")
	}
}

// TestTornWrite: one write that crosses sectors can be kept in part.
func TestTornWrite(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	seen := make(map[string]bool)
	for seed := range uint64(40) {
		write(t, path, bytes.Repeat([]byte("a"), 16<<10), true)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		ok(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte("b"), 16<<10), 0)
		ok(t, err)
		ok(t, f.Close())
		cut(t, disk, newRand(seed))
		got, err := os.ReadFile(path)
		ok(t, err)
		switch n := bytes.Count(got, []byte("b")); {
		case n == 0:
			seen["lost"] = true
		case n == len(got):
			seen["kept"] = true
		default:
			seen["torn"] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("seen: %v", seen)
	}
}

// TestSizes: a file that grew or shrank has after a cut a size that it had since
// the last flush.
func TestSizes(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	seen := make(map[int64]bool)
	for seed := range uint64(60) {
		write(t, path, bytes.Repeat([]byte("a"), 10_000), true)
		ok(t, os.Truncate(path, 50))
		ok(t, os.Truncate(path, 30_000))
		cut(t, disk, newRand(seed))
		got, err := os.ReadFile(path)
		ok(t, err)
		seen[int64(len(got))] = true
		if bytes.Count(got, []byte("a"))+bytes.Count(got, []byte{0}) != len(got) {
			t.Fatalf("seed %d: bytes that nobody wrote", seed)
		}
	}
	if len(seen) != 3 || !seen[50] || !seen[10_000] || !seen[30_000] {
		t.Errorf("sizes: %v", seen)
	}
}

// TestFiles: what a file system does besides losing data.
func TestFiles(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	ok(t, err)
	defer f.Close()
	for range 3 {
		_, err = f.WriteString("abc")
		ok(t, err)
	}
	got, err := os.ReadFile(path)
	ok(t, err)
	if string(got) != "abcabcabc" {
		t.Errorf("appended: %q", got)
	}
	ok(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	other, err := os.Open(path)
	ok(t, err)
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("second lock: %v", err)
	}
	other.Close()

	// Removed while open.
	ok(t, os.Remove(path))
	syncDir(t, dir)
	_, err = f.WriteString("def")
	ok(t, err)
	b := make([]byte, 12)
	_, err = f.ReadAt(b, 0)
	ok(t, err)
	if info, err := f.Stat(); err != nil || info.Size() != 12 || string(b) != "abcabcabcdef" {
		t.Errorf("removed file: %q, %v", b, err)
	}

	// Sparse, allocated, punched.
	sparse := filepath.Join(dir, "sparse")
	g, err := os.Create(sparse)
	ok(t, err)
	defer g.Close()
	ok(t, g.Truncate(1<<30))
	_, err = g.WriteAt([]byte("x"), 1<<29)
	ok(t, err)
	if at, err := unix.Seek(int(g.Fd()), 0, unix.SEEK_DATA); err != nil || at == 0 || at > 1<<29 {
		t.Errorf("data at %d, %v", at, err)
	}
	ok(t, unix.Fallocate(int(g.Fd()), 0, 0, 1<<20))
	ok(t, unix.Fallocate(int(g.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<29, 4096))
	if _, err := g.ReadAt(b[:1], 1<<29); err != nil || b[0] != 0 {
		t.Errorf("punched: %d, %v", b[0], err)
	}
	ok(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o700))
	if err := os.Remove(filepath.Join(dir, "a")); !errors.Is(err, unix.ENOTEMPTY) {
		t.Errorf("removing a full folder: %v", err)
	}
	ok(t, os.Remove(filepath.Join(dir, "a/b")))
	ok(t, os.Rename(sparse, filepath.Join(dir, "a/moved")))
	entries, err := os.ReadDir(dir)
	ok(t, err)
	if len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("entries: %v", entries)
	}
	if s := disk.Stats(); s.Writes != 5 || s.WrittenBytes != 13 || s.Syncs == 0 {
		t.Errorf("stats: %+v", s)
	}
}
