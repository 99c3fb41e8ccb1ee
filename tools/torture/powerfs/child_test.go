//go:build linux

package powerfs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What maps files of the mount, and what is to be killed, runs in a child: this
// program, started again with the name of a function.
const (
	childVariable = "KVORUM_POWERFS_TEST_CHILD"
	dirVariable   = "KVORUM_POWERFS_TEST_DIR"
	seedVariable  = "KVORUM_POWERFS_TEST_SEED"
)

var children = map[string]func(dir string) error{
	"mapped": mappedChild,
	"store":  storeChild,
	"owner":  ownerChild,
}

func TestMain(m *testing.M) {
	name := os.Getenv(childVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Getenv(dirVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is such a process.
type child struct {
	cmd    *exec.Cmd
	in     io.Closer
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

func startChild(t *testing.T, name, dir string, seed uint64) *child {
	t.Helper()
	exe, err := os.Executable()
	ok(t, err)
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+name, dirVariable+"="+dir, seedVariable+"="+fmt.Sprint(seed))
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	ok(t, err)
	c.in, err = c.cmd.StdinPipe()
	ok(t, err)
	c.lines = bufio.NewScanner(out)
	ok(t, c.cmd.Start())
	return c
}

// next is its next line; "" at the end.
func (c *child) next() string {
	if !c.lines.Scan() {
		return ""
	}
	return c.lines.Text()
}

// kill returns what it still said.
func (c *child) kill() (rest []string) {
	c.cmd.Process.Kill()
	for line := c.next(); line != ""; line = c.next() {
		rest = append(rest, line)
	}
	c.cmd.Wait()
	c.in.Close()
	return rest
}

const (
	mappedPages = 64
	pageBytes   = 4096
)

// mappedChild maps a file, writes and flushes all of it, half by msync and half by
// fdatasync through another descriptor, then writes every other page again.
func mappedChild(dir string) error {
	f, err := os.Create(filepath.Join(dir, "mapped"))
	if err != nil {
		return err
	}
	if err := f.Truncate(mappedPages * pageBytes); err != nil {
		return err
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, mappedPages*pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fill := func(from, to, step int, with byte) {
		for page := from; page < to; page += step {
			copy(memory[page*pageBytes:], bytes.Repeat([]byte{with}, pageBytes))
		}
	}
	fill(0, mappedPages/2, 1, 'a')
	if err := unix.Msync(memory, unix.MS_SYNC); err != nil {
		return err
	}
	fill(mappedPages/2, mappedPages, 1, 'a')
	other, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	if err := unix.Fdatasync(int(other.Fd())); err != nil {
		return err
	}
	fill(0, mappedPages, 2, 'b')
	fmt.Println("written")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestMapped: pages written through a mapping survive when they were flushed, and
// otherwise only some, also when the process is killed only after the cut.
func TestMapped(t *testing.T) {
	disk, dir := mounted(t, Options{})
	kept, lost := 0, 0
	for seed := range uint64(12) {
		c := startChild(t, "mapped", dir, seed)
		if line := c.next(); line != "written" {
			c.kill()
			t.Fatalf("%q, %s", line, c.stderr.String())
		}
		loss, err := disk.Cut(newRand(seed))
		ok(t, err)
		c.kill()
		ok(t, disk.Restore())
		got, err := os.ReadFile(filepath.Join(dir, "mapped"))
		ok(t, err)
		a, b := bytes.Count(got, []byte("a")), bytes.Count(got, []byte("b"))
		if a+b != mappedPages*pageBytes {
			t.Fatalf("seed %d: %d a, %d b; %v", seed, a, b, loss)
		}
		kept, lost = kept+b, lost+mappedPages*pageBytes/2-b
	}
	if kept == 0 || lost == 0 {
		t.Errorf("unflushed bytes: %d kept, %d lost", kept, lost)
	}
}

// ownerChild mounts a disk and never unmounts it.
func ownerChild(dir string) error {
	if _, err := Mount(filepath.Join(dir, "mnt"), filepath.Join(dir, "backing"), Options{}); err != nil {
		return err
	}
	fmt.Println("mounted")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// TestKilledOwner: the mount goes with the process that serves it, also when a
// file of it is open elsewhere.
func TestKilledOwner(t *testing.T) {
	mounted(t, Options{}) // or skip
	dir := t.TempDir()
	mountpoint := filepath.Join(dir, "mnt")
	defer detach(mountpoint)
	c := startChild(t, "owner", dir, 0)
	if line := c.next(); line != "mounted" {
		c.kill()
		t.Fatalf("%q, %s", line, c.stderr.String())
	}
	f, err := os.Create(filepath.Join(mountpoint, "file"))
	ok(t, err)
	c.kill()
	defer f.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		ok(t, err)
		if !bytes.Contains(mounts, []byte(mountpoint)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the mount is still there")
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := f.WriteString("x"); err == nil {
		t.Error("a file of a dead mount takes writes")
	}
}
