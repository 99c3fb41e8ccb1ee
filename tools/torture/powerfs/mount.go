//go:build linux

package powerfs

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mount is one FUSE connection.
type mount struct {
	server *fuse.Server
}

// newMount mounts c. The device is opened here and not by the library, so that
// no other process inherits it: the kernel ends the connection with this one.
func newMount(c *cycle, mountpoint string) (*mount, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	const writeBytes = 1 << 20
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", fd, writeBytes)
	if err := unix.Mount("powerfs", mountpoint, "fuse.powerfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Nobody else changes the files, so the kernel may remember everything.
	forever := 24 * time.Hour
	options := &fs.Options{
		EntryTimeout: &forever, AttrTimeout: &forever,
		MountOptions: fuse.MountOptions{
			MaxWrite: writeBytes, MaxBackground: 64, DisableXAttrs: true, ExplicitDataCacheControl: true,
		},
	}
	server, err := fs.Mount(fmt.Sprintf("/dev/fd/%d", fd), &dirNode{node{c: c, in: c.root}}, options)
	if err != nil {
		detach(mountpoint)
		return nil, err
	}
	return &mount{server}, declinePoll(mountpoint)
}

// declinePoll lets the server tell the kernel, through a file that it answers
// for itself, that it has no poll. Otherwise opening a file of the mount in this
// process asks for one in a call that the Go scheduler does not know to block.
func declinePoll(mountpoint string) error {
	fd, err := unix.Open(filepath.Join(mountpoint, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err
}

// detach takes whatever is mounted at path out of the tree, even when it is in
// use or does not answer any more.
func detach(path string) {
	for unix.Unmount(path, unix.MNT_DETACH) == nil {
	}
}

// guard is a shell that detaches the mount when this process is gone.
type guard struct {
	cmd  *exec.Cmd
	hold io.Closer
}

func startGuard(mountpoint string) (*guard, error) {
	cmd := exec.Command("sh", "-c", `read -r _; umount -l "$1" 2>/dev/null`, "sh", mountpoint)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for it
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &guard{cmd, hold}, cmd.Start()
}

// release lets the guard end, which detaches whatever is still mounted.
func (g *guard) release() {
	g.hold.Close()
	g.cmd.Wait() // It fails when nothing was left to detach.
}
