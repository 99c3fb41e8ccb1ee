//go:build linux

package powerfs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// Loss is what a power cut found unflushed.
type Loss struct {
	// Files had content that was not flushed, of which LostBytes were taken back
	// and KeptBytes stayed.
	Files                int
	LostBytes, KeptBytes int64
	// LostNames and KeptNames are changes of directories.
	LostNames, KeptNames int
}

func (l Loss) String() string {
	return fmt.Sprintf("%d files with unflushed content, %d bytes lost and %d kept; %d changes of names lost and %d kept",
		l.Files, l.LostBytes, l.KeptBytes, l.LostNames, l.KeptNames)
}

// Cut is the power failing. Every operation from now on fails with EIO, the ones
// that hang as well. What was not flushed is kept or lost as rng draws it, and
// Files holds the outcome.
//
// The processes live on until they are killed, and can read what the kernel has
// cached; nothing that they do reaches the disk.
func (f *FS) Cut(rng *rand.Rand) (Loss, error) {
	if rng.IntN(2) == 0 {
		f.Writeback(rng)
	}
	f.power.Lock()
	defer f.power.Unlock()
	c := f.cycle
	select {
	case <-c.off:
		return Loss{}, errors.New("powerfs: Cut without power")
	default:
	}
	f.cuts.Add(1)
	c.names.Lock()
	defer c.names.Unlock()
	defer c.powerOff()
	var loss Loss
	for _, ino := range slices.Sorted(maps.Keys(c.inodes)) {
		if err := c.inodes[ino].revert(rng, &loss); err != nil {
			return loss, fmt.Errorf("powerfs: take back content: %w", err)
		}
	}
	if err := c.journal.revert(rng, &loss); err != nil {
		return loss, fmt.Errorf("powerfs: take back names: %w", err)
	}
	return loss, nil
}

// Writeback makes the kernel write out the mapped pages of some of the files, as
// it may do at any time. They are not flushed by that.
func (f *FS) Writeback(rng *rand.Rand) {
	f.power.RLock()
	c := f.cycle
	f.power.RUnlock()
	c.names.Lock()
	nodes := make(map[uint64]*node)
	for ino, in := range c.inodes {
		if in.node != nil && !in.dir && !in.removed {
			nodes[ino] = in.node
		}
	}
	c.names.Unlock()
	for _, ino := range slices.Sorted(maps.Keys(nodes)) {
		if rng.IntN(2) == 0 {
			nodes[ino].NotifyContent(0, 0) // It fails for what the kernel has forgotten meanwhile.
		}
	}
}

// share draws how much of something survives: often nothing or everything, which
// a mix of independent draws would hardly ever give.
func share(rng *rand.Rand) float64 {
	return []float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)]
}

// revert takes back part of what was not flushed.
func (in *inode) revert(rng *rand.Rand, loss *Loss) error {
	if in.gone || len(in.blocks) == 0 && len(in.sizes) == 0 {
		return nil
	}
	loss.Files++
	size, err := in.size()
	if err != nil {
		return err
	}
	kept, unit := share(rng), []int{sectorBytes, blockBytes}[rng.IntN(2)]
	for _, number := range slices.Sorted(maps.Keys(in.blocks)) {
		if err := in.revertBlock(rng, number, kept, unit, loss); err != nil {
			return err
		}
	}
	if len(in.sizes) > 0 {
		switch sizes := append(in.sizes, size); kept {
		case 0:
			size = sizes[0]
		case 1:
		default:
			size = sizes[rng.IntN(len(sizes))]
		}
	}
	return unix.Ftruncate(in.fd, size)
}

func (in *inode) revertBlock(rng *rand.Rand, number int64, kept float64, unit int, loss *Loss) error {
	b := in.blocks[number]
	now, err := in.content(number)
	if err != nil {
		return err
	}
	now = orZeros(now)
	outcome := make([]byte, 0, blockBytes)
	for at := 0; at < blockBytes; at += unit {
		from := now
		if rng.Float64() >= kept {
			from = orZeros(b.old)
			if kept > 0 && b.tries > 0 && rng.IntN(2) == 0 {
				from = orZeros(b.middle)
			}
			loss.LostBytes += int64(unit)
		} else {
			loss.KeptBytes += int64(unit)
		}
		outcome = append(outcome, from[at:at+unit]...)
	}
	if bytes.Equal(outcome, now) {
		return nil
	}
	_, err = unix.Pwrite(in.fd, outcome, number*blockBytes)
	return err
}

func orZeros(b []byte) []byte {
	if b == nil {
		return zeros[:]
	}
	return b
}
