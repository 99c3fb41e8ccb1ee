//go:build linux

package powerfs

import (
	"errors"
	"math/rand/v2"
	"slices"
)

// change is a change of names that no flush has covered yet.
type change struct {
	dirs []*inode // whose names it changes
	in   *inode   // that got or lost a name
	undo func() error
	done func() // when no power cut takes it back any more; may be nil
}

func (c *change) touches(dirs map[*inode]bool) bool {
	return slices.ContainsFunc(c.dirs, func(d *inode) bool { return dirs[d] })
}

// journal holds changes in their order. It is guarded by cycle.names.
type journal []*change

// commit makes durable the wanted changes, and all before them in the same
// directories. With path it does the same for the names of those directories.
func (j *journal) commit(path bool, wanted func(*change) bool) {
	covered := make(map[*inode]bool)
	var committed []*change
	for i := len(*j) - 1; i >= 0; i-- {
		c := (*j)[i]
		if !wanted(c) && !c.touches(covered) && !(path && covered[c.in]) {
			continue
		}
		for _, d := range c.dirs {
			covered[d] = true
		}
		committed = append(committed, c)
		*j = slices.Delete(*j, i, i+1)
	}
	for _, c := range slices.Backward(committed) {
		if c.done != nil {
			c.done()
		}
	}
}

// revert takes changes back: in each directory from some change on all of them.
func (j *journal) revert(rng *rand.Rand, loss *Loss) error {
	kept := share(rng)
	lostIn := make(map[*inode]bool)
	var lost []*change
	for _, c := range *j {
		if !c.touches(lostIn) && rng.Float64() < kept {
			loss.KeptNames++
			if c.done != nil {
				c.done()
			}
			continue
		}
		for _, d := range c.dirs {
			lostIn[d] = true
		}
		if c.in.dir {
			lostIn[c.in] = true // Its own names go with it.
		}
		lost = append(lost, c)
	}
	*j = nil
	loss.LostNames += len(lost)
	var errs []error
	for _, c := range slices.Backward(lost) {
		errs = append(errs, c.undo())
	}
	return errors.Join(errs...)
}
