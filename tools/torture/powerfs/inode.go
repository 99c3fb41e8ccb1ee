//go:build linux

package powerfs

import (
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	blockBytes  = 4096
	sectorBytes = 512
)

// inode is a file or directory in the backing folder, open, and what a power cut
// can take from the file's content.
type inode struct {
	fd  int
	ino uint64
	dir bool

	// Guarded by cycle.names.
	node      *node // by which the kernel knows it, if it does
	removed   bool  // it has no name
	gone      bool  // and no power cut gives it one again
	forgotten bool  // and the kernel does not know it any more

	mu     sync.Mutex
	sizes  []int64          // that it had before each change since the last flush
	blocks map[int64]*block // changed since the last flush, by their number
}

var zeros [blockBytes]byte

// block is what a block of a file held before. nil stands for zeros.
type block struct {
	old    []byte // at the last flush
	middle []byte // at some moment between then and now
	tries  int    // how many times middle was drawn anew
	failed bool   // a flush has failed since it was written
}

// size is the file's now.
func (in *inode) size() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(in.fd, &st)
	return st.Size, err
}

// content reads a block, padded with zeros; nil if it is all zeros.
func (in *inode) content(number int64) ([]byte, error) {
	b := make([]byte, blockBytes)
	n, err := unix.Pread(in.fd, b, number*blockBytes)
	if err != nil {
		return nil, err
	}
	clear(b[n:])
	if [blockBytes]byte(b) == zeros {
		return nil, nil
	}
	return b, nil
}

// save keeps what the bytes from off on hold, which are about to change.
func (in *inode) save(off, n int64) error {
	for number := off / blockBytes; number*blockBytes < off+n; number++ {
		b := in.blocks[number]
		if b == nil {
			old, err := in.content(number)
			if err != nil {
				return err
			}
			if in.blocks == nil {
				in.blocks = make(map[int64]*block)
			}
			in.blocks[number] = &block{old: old}
			continue
		}
		b.failed = false
		if b.tries++; rand.IntN(b.tries) == 0 {
			middle, err := in.content(number)
			if err != nil {
				return err
			}
			b.middle = middle
		}
	}
	return nil
}

// saveData is save without the holes, for what is about to become zeros.
func (in *inode) saveData(off, end int64) error {
	for off < end {
		from, err := unix.Seek(in.fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && from >= end {
			return nil
		}
		if err != nil {
			return err
		}
		to, err := unix.Seek(in.fd, from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		to = min(to, end)
		if err := in.save(from, to-from); err != nil {
			return err
		}
		off = to
	}
	return nil
}

// write writes at off, or fails without having done anything.
func (in *inode) write(data []byte, off int64) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	before, err := in.size()
	if err != nil {
		return 0, err
	}
	if err := in.save(off, int64(len(data))); err != nil {
		return 0, err
	}
	if off+int64(len(data)) > before {
		in.resized(before)
	}
	return unix.Pwrite(in.fd, data, off)
}

// truncate sets the size.
func (in *inode) truncate(size int64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	before, err := in.size()
	if err != nil {
		return err
	}
	if size < before {
		if err := in.saveData(size, before); err != nil {
			return err
		}
	}
	in.resized(before)
	return unix.Ftruncate(in.fd, size)
}

// allocate is fallocate.
func (in *inode) allocate(mode uint32, off, n int64) error {
	const zeroing = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if mode&^(zeroing|unix.FALLOC_FL_KEEP_SIZE) != 0 {
		return unix.EOPNOTSUPP
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	before, err := in.size()
	if err != nil {
		return err
	}
	if mode&zeroing != 0 {
		if err := in.saveData(off, min(off+n, before)); err != nil {
			return err
		}
	}
	in.resized(before)
	return unix.Fallocate(in.fd, mode, off, n)
}

// resized is told the size before a change of it.
func (in *inode) resized(before int64) {
	const kept = 16
	if len(in.sizes) == kept {
		in.sizes = slices.Delete(in.sizes, 1, 2)
	}
	in.sizes = append(in.sizes, before)
}

// flush makes the present content durable, but for blocks with a failed flush.
func (in *inode) flush() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sizes = nil
	for number, b := range in.blocks {
		if !b.failed {
			delete(in.blocks, number)
		}
	}
}

func (in *inode) flushFailed() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, b := range in.blocks {
		b.failed = true
	}
}
