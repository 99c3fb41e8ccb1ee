package sim

import (
	"errors"

	"github.com/kvorum/kvorum/libs/core/store"
)

// work is something that a disk does.
type work int

const (
	logWrite   work = iota // a durable write of the log
	stateWrite             // applying entries
	stateSync              // making the state durable
	stateCopy              // sending or receiving a snapshot
)

var (
	// errDisk is what a failing disk answers.
	errDisk = errors.New("input/output error")
	// errFull is what a full disk answers.
	errFull = errors.New("no space left on device")
)

// disk is how a node's disk behaves. What is on it is in node.store.
type disk struct {
	w         *world
	slow      int64 // times as slow as usual; 0: as usual
	hungUntil int64 // nothing is done before
	// underWay is what the log is being given: a crash may leave all of it,
	// nothing, or some of its entries.
	underWay *store.Batch
	fault    error // what every write answers, nil for none
	rotten   bool  // something on it was damaged
}

// delay draws how long a piece of work takes, from when it begins.
func (d *disk) delay(of work) int64 {
	o, rng := &d.w.o, d.w.rng
	var t int64
	switch of {
	case logWrite:
		t = o.LogMinMicros*us + rng.Int64N((o.LogMaxMicros-o.LogMinMicros)*us+1)
	case stateWrite:
		if t = rng.Int64N(o.ApplyMaxMicros*us + 1); rng.Int64N(100) < o.ApplySlow {
			t *= 20
		}
	case stateSync:
		t = 2 * (o.LogMinMicros*us + rng.Int64N((o.LogMaxMicros-o.LogMinMicros)*us+1))
	case stateCopy:
		t = 5*ms + rng.Int64N(45*ms)
	}
	if d.slow > 0 {
		t *= d.slow
	}
	return max(0, d.hungUntil-d.w.now) + t
}

// writing notes what the log is being given, nil when that is done.
func (d *disk) writing(b *store.Batch) { d.underWay = b }

// lose leaves on the disk what the end of the process leaves there, or a cut of
// the power, which takes what was not synced.
func (n *node) lose(power bool) {
	d := &n.disk
	if d.underWay != nil {
		n.store.Tear(*d.underWay, d.w.rng)
		d.underWay = nil
	}
	n.w.judge.crashed(n)
	if power {
		n.store = n.store.Crash(d.w.rng)
	} else {
		n.store = n.store.Restart()
	}
	n.store.Fail(d.fault)
}

// mend ends what is wrong with the disk and can be mended.
func (d *disk) mend(n *node) {
	d.slow, d.hungUntil, d.fault = 0, 0, nil
	n.store.Fail(nil)
}
