//go:build linux

package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"time"
)

// disk is what a node keeps its data on.
type disk interface {
	// dir is where it is mounted.
	dir() string
	// files is the folder behind it: what is changed there comes to light where
	// it is not in the kernel's memory.
	files() string
	// cut loses the power: from now on nothing succeeds. With the node killed,
	// restore brings it back with what such a disk holds then: all that was
	// synced, and of the rest whatever chance left.
	cut(rng *rand.Rand) error
	restore() error
	// slow delays writes and syncs, hang stops them until it is called again,
	// breakdown fails them, fill leaves so many bytes; each with its zero value
	// ends it. release ends all of these.
	slow(write, sync time.Duration)
	hang(bool)
	breakdown(bool)
	fill(freeBytes uint64)
	release()
	close()
}

var errNoPower = errors.New("a folder does not lose power")

// plainDisk is a folder of this machine: it cannot fail.
type plainDisk struct{ path string }

func newPlainDisk(dir string) (disk, error) {
	return plainDisk{dir}, os.MkdirAll(dir, 0o700)
}

func (d plainDisk) dir() string           { return d.path }
func (d plainDisk) files() string         { return d.path }
func (plainDisk) cut(*rand.Rand) error    { return errNoPower }
func (plainDisk) restore() error          { return errNoPower }
func (plainDisk) slow(_, _ time.Duration) {}
func (plainDisk) hang(bool)               {}
func (plainDisk) breakdown(bool)          {}
func (plainDisk) fill(uint64)             {}
func (plainDisk) release()                {}
func (plainDisk) close()                  {}
