//go:build linux

package powerfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirNode is a directory.
type dirNode struct{ node }

var (
	_ fs.NodeLookuper  = (*dirNode)(nil)
	_ fs.NodeReaddirer = (*dirNode)(nil)
	_ fs.NodeCreater   = (*dirNode)(nil)
	_ fs.NodeMkdirer   = (*dirNode)(nil)
	_ fs.NodeUnlinker  = (*dirNode)(nil)
	_ fs.NodeRmdirer   = (*dirNode)(nil)
	_ fs.NodeRenamer   = (*dirNode)(nil)
)

// enter is cycle.enter with the names locked.
func (d *dirNode) enter(op operation) syscall.Errno {
	errno := d.c.enter(op)
	if errno == 0 {
		d.c.names.Lock()
	}
	return errno
}

func (d *dirNode) leave() {
	d.c.names.Unlock()
	d.c.leave()
}

func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := d.enter(opLook); errno != 0 {
		return nil, errno
	}
	defer d.leave()
	in, err := d.c.open(d.in, name)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return d.child(ctx, in, out)
}

// child makes the node of in, of which the library keeps the first.
func (d *dirNode) child(ctx context.Context, in *inode, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	var ops fs.InodeEmbedder
	var n *node
	if in.dir {
		dir := &dirNode{node{c: d.c, in: in}}
		ops, n = dir, &dir.node
	} else {
		file := &fileNode{node{c: d.c, in: in}}
		ops, n = file, &file.node
	}
	if errno := n.attributes(&out.Attr); errno != 0 {
		return nil, errno
	}
	if in.node == nil {
		in.node = n
	}
	return d.NewInode(ctx, ops, fs.StableAttr{Mode: out.Mode, Ino: in.ino}), 0
}

func (d *dirNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	if errno := d.enter(opLook); errno != 0 {
		return nil, errno
	}
	defer d.leave()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", d.in.fd))
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	list := []fuse.DirEntry{{Name: ".", Mode: syscall.S_IFDIR}, {Name: "..", Mode: syscall.S_IFDIR}}
	for _, e := range entries {
		mode := uint32(syscall.S_IFREG)
		if e.IsDir() {
			mode = syscall.S_IFDIR
		}
		list = append(list, fuse.DirEntry{Name: e.Name(), Mode: mode})
	}
	return fs.NewListDirStream(list), 0
}

func (d *dirNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child, errno := d.make(ctx, name, out, func() error {
		fd, err := unix.Openat(d.in.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode)
		if err == nil {
			unix.Close(fd)
		}
		return err
	})
	return child, &handle{flags}, fuse.FOPEN_KEEP_CACHE, errno
}

func (d *dirNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return d.make(ctx, name, out, func() error { return unix.Mkdirat(d.in.fd, name, mode) })
}

// make lets create make what name did not name before.
func (d *dirNode) make(ctx context.Context, name string, out *fuse.EntryOut, create func() error) (*fs.Inode, syscall.Errno) {
	if errno := d.enter(opChange); errno != 0 {
		return nil, errno
	}
	defer d.leave()
	if errno := d.c.room(blockBytes); errno != 0 {
		return nil, errno
	}
	if err := create(); err != nil {
		return nil, fs.ToErrno(err)
	}
	in, err := d.c.open(d.in, name)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	d.c.journal = append(d.c.journal, &change{dirs: []*inode{d.in}, in: in, undo: func() error {
		// A directory may hold names that were flushed while its own was not.
		return os.RemoveAll(filepath.Join(fmt.Sprintf("/proc/self/fd/%d", d.in.fd), name))
	}})
	return d.child(ctx, in, out)
}

func (d *dirNode) Unlink(_ context.Context, name string) syscall.Errno { return d.remove(name) }

func (d *dirNode) Rmdir(_ context.Context, name string) syscall.Errno {
	if errno := d.enter(opLook); errno != 0 {
		return errno
	}
	entries, err := os.ReadDir(filepath.Join(fmt.Sprintf("/proc/self/fd/%d", d.in.fd), name))
	d.leave()
	if err == nil && len(entries) > 0 {
		return syscall.ENOTEMPTY
	}
	return d.remove(name)
}

func (d *dirNode) remove(name string) syscall.Errno {
	if errno := d.enter(opChange); errno != 0 {
		return errno
	}
	defer d.leave()
	in, err := d.c.open(d.in, name)
	if err != nil {
		return fs.ToErrno(err)
	}
	held, err := d.c.holdBack(d.in, name, in)
	if err != nil {
		return fs.ToErrno(err)
	}
	c := &change{dirs: []*inode{d.in}, in: in, done: func() { d.c.forget(held, in) }, undo: func() error {
		return unix.Renameat(d.c.hold.fd, held, d.in.fd, name)
	}}
	if in.dir {
		c.dirs = append(c.dirs, in) // It is gone only if all that was in it is.
	}
	d.c.journal = append(d.c.journal, c)
	return 0
}

// Rename replaces what newName names, if anything.
func (d *dirNode) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*dirNode)
	if !ok || flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	if errno := d.enter(opChange); errno != 0 {
		return errno
	}
	defer d.leave()
	from, into := d.in, to.in
	in, err := d.c.open(from, name)
	if err != nil {
		return fs.ToErrno(err)
	}
	replaced, err := d.c.open(into, newName)
	if err != nil && err != unix.ENOENT {
		return fs.ToErrno(err)
	}
	c := &change{dirs: slices.Compact([]*inode{from, into}), in: in}
	switch {
	case replaced == in:
		return 0
	case replaced != nil && (flags&unix.RENAME_NOREPLACE != 0 || replaced.dir):
		return syscall.EEXIST
	}
	held := ""
	if replaced != nil {
		if held, err = d.c.holdBack(into, newName, replaced); err != nil {
			return fs.ToErrno(err)
		}
		c.done = func() { d.c.forget(held, replaced) }
	}
	if err := unix.Renameat(from.fd, name, into.fd, newName); err != nil {
		return fs.ToErrno(err)
	}
	c.undo = func() error {
		err := unix.Renameat(into.fd, newName, from.fd, name)
		if err == nil && replaced != nil {
			err = unix.Renameat(d.c.hold.fd, held, into.fd, newName)
		}
		return err
	}
	d.c.journal = append(d.c.journal, c)
	return 0
}

// open returns the inode that name names in dir. names is locked.
func (c *cycle) open(dir *inode, name string) (*inode, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	if in := c.inodes[st.Ino]; in != nil {
		return in, nil
	}
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	case unix.S_IFREG:
	default:
		return nil, unix.EPERM
	}
	fd, err := unix.Openat(dir.fd, name, flags, 0)
	if err != nil {
		return nil, err
	}
	return c.intern(fd)
}

// intern keeps an inode that was just opened.
func (c *cycle) intern(fd int) (*inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	in := &inode{fd: fd, ino: st.Ino, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	c.inodes[in.ino] = in
	return in, nil
}

// holdBack takes a name away from in and keeps the inode, for a power cut may
// bring it back.
func (c *cycle) holdBack(dir *inode, name string, in *inode) (held string, err error) {
	c.removed++
	held = fmt.Sprint(c.removed)
	if err := unix.Renameat(dir.fd, name, c.hold.fd, held); err != nil {
		return "", err
	}
	in.removed = true
	return held, nil
}

// forget removes for good what holdBack kept. Who has it open keeps it.
func (c *cycle) forget(held string, in *inode) {
	flags := 0
	if in.dir {
		flags = unix.AT_REMOVEDIR
	}
	unix.Unlinkat(c.hold.fd, held, flags) // What stays is removed at the next start.
	in.gone = true
	in.mu.Lock()
	in.blocks, in.sizes = nil, nil
	in.mu.Unlock()
	c.closeGone(in)
}

// closeGone closes a file that neither a name nor the kernel leads to any more.
func (c *cycle) closeGone(in *inode) {
	if in.gone && in.forgotten && c.inodes[in.ino] == in {
		delete(c.inodes, in.ino)
		unix.Close(in.fd)
	}
}
