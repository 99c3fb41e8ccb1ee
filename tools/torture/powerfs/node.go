//go:build linux

package powerfs

import (
	"context"
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is what the kernel knows of an inode.
type node struct {
	fs.Inode
	c  *cycle
	in *inode
}

// fileNode is a file.
type fileNode struct{ node }

var (
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
	_ fs.NodeOpener    = (*fileNode)(nil)
	_ fs.NodeReader    = (*fileNode)(nil)
	_ fs.NodeWriter    = (*fileNode)(nil)
	_ fs.NodeFlusher   = (*fileNode)(nil)
	_ fs.NodeAllocater = (*fileNode)(nil)
	_ fs.NodeLseeker   = (*fileNode)(nil)
)

// handle is an open file; the flags are those of open.
type handle struct{ flags uint32 }

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.c.enter(opLook); errno != 0 {
		return errno
	}
	defer n.c.leave()
	return n.attributes(&out.Attr)
}

func (n *node) attributes(out *fuse.Attr) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(n.in.fd, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, to *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := n.c.enter(opChange); errno != 0 {
		return errno
	}
	defer n.c.leave()
	if mode, ok := to.GetMode(); ok {
		if err := unix.Fchmod(n.in.fd, mode); err != nil {
			return fs.ToErrno(err)
		}
	}
	uid, gid := -1, -1
	if v, ok := to.GetUID(); ok {
		uid = int(v)
	}
	if v, ok := to.GetGID(); ok {
		gid = int(v)
	}
	if uid >= 0 || gid >= 0 {
		if err := unix.Fchown(n.in.fd, uid, gid); err != nil {
			return fs.ToErrno(err)
		}
	}
	if err := n.setTimes(to); err != nil {
		return fs.ToErrno(err)
	}
	if size, ok := to.GetSize(); ok {
		if err := n.in.truncate(int64(size)); err != nil {
			return fs.ToErrno(err)
		}
	}
	return n.attributes(&out.Attr)
}

func (n *node) setTimes(to *fuse.SetAttrIn) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if t, ok := to.GetATime(); ok {
		times[0] = unix.NsecToTimespec(t.UnixNano())
	}
	if t, ok := to.GetMTime(); ok {
		times[1] = unix.NsecToTimespec(t.UnixNano())
	}
	if times[0].Nsec == unix.UTIME_OMIT && times[1].Nsec == unix.UTIME_OMIT {
		return nil
	}
	return unix.UtimesNanoAt(n.in.fd, "", times, unix.AT_EMPTY_PATH)
}

// Fsync covers what was there when it began or when it ended, at random.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.c.fs.syncs.Add(1)
	early := rand.IntN(2) == 0
	if early && n.c.enter(opLook) == 0 {
		n.cover()
		n.c.leave()
	}
	if errno := n.c.enter(opFlush); errno != 0 {
		n.in.flushFailed()
		return errno
	}
	defer n.c.leave()
	if !early {
		n.cover()
	}
	return 0
}

// cover makes durable what a flush of n covers.
func (n *node) cover() {
	if n.c.fs.faults.lies() {
		return
	}
	n.in.flush()
	strict := n.c.fs.opts.Strict
	n.c.names.Lock()
	defer n.c.names.Unlock()
	n.c.journal.commit(!strict, func(c *change) bool {
		return slices.Contains(c.dirs, n.in) || !strict && c.in == n.in
	})
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	if errno := n.c.enter(opLook); errno != 0 {
		return errno
	}
	defer n.c.leave()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(n.c.root.fd, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStatfsT(&st)
	if total, free, ok := n.c.fs.space(); ok {
		block := uint64(st.Bsize)
		out.Blocks = min(out.Blocks, total/block)
		out.Bfree, out.Bavail = min(out.Bfree, free/block), min(out.Bavail, free/block)
	}
	return 0
}

// OnForget: only what was removed is forgotten without coming back.
func (n *node) OnForget() {
	n.c.names.Lock()
	defer n.c.names.Unlock()
	if n.in.node == n {
		n.in.node = nil
	}
	n.in.forgotten = n.in.removed
	n.c.closeGone(n.in)
}

// Open opens for everybody the same: the inode is open already.
func (n *fileNode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	op := opLook
	if flags&syscall.O_TRUNC != 0 {
		op = opChange
	}
	if errno := n.c.enter(op); errno != 0 {
		return nil, 0, errno
	}
	defer n.c.leave()
	if op == opChange {
		if err := n.in.truncate(0); err != nil {
			return nil, 0, fs.ToErrno(err)
		}
	}
	return &handle{flags}, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *fileNode) Read(_ context.Context, _ fs.FileHandle, to []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := n.c.enter(opRead); errno != 0 {
		return nil, errno
	}
	defer n.c.leave()
	got, err := unix.Pread(n.in.fd, to, off)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(to[:got]), 0
}

func (n *fileNode) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	written, errno := n.write(data, off)
	if h, ok := f.(*handle); errno == 0 && ok && h.flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0 {
		errno = n.Fsync(ctx, f, 0)
	}
	return written, errno
}

func (n *fileNode) write(data []byte, off int64) (uint32, syscall.Errno) {
	if errno := n.c.enter(opWrite); errno != 0 {
		return 0, errno
	}
	defer n.c.leave()
	hole, err := unix.Seek(n.in.fd, off, unix.SEEK_HOLE)
	if err != nil || hole < off+int64(len(data)) { // It fails past the end.
		if errno := n.c.room(int64(len(data))); errno != 0 {
			return 0, errno
		}
	}
	written, err := n.in.write(data, off)
	if err != nil {
		return 0, fs.ToErrno(err)
	}
	n.c.fs.writes.Add(1)
	n.c.fs.writtenBytes.Add(uint64(written))
	return uint32(written), 0
}

// Flush is a close, which flushes nothing.
func (n *fileNode) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (n *fileNode) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if errno := n.c.enter(opWrite); errno != 0 {
		return errno
	}
	defer n.c.leave()
	if errno := n.c.room(int64(size)); errno != 0 {
		return errno
	}
	return fs.ToErrno(n.in.allocate(mode, int64(off), int64(size)))
}

func (n *fileNode) Lseek(_ context.Context, _ fs.FileHandle, off uint64, whence uint32) (uint64, syscall.Errno) {
	if errno := n.c.enter(opLook); errno != 0 {
		return 0, errno
	}
	defer n.c.leave()
	at, err := unix.Seek(n.in.fd, int64(off), int(whence))
	return uint64(at), fs.ToErrno(err)
}
