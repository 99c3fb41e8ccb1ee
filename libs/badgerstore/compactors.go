package badgerstore

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for the names that Badger does not export

	"github.com/dgraph-io/badger/v4"
)

// quietAfter is how long a database is not written to before its compactors
// are stopped.
const quietAfter = 10 * time.Second

// compactors stop Badger's compactors while nothing is written and there is
// nothing to compact, and start them again with the next write. Badger has them
// look 20 times a second each: in a node that is idle that is most of what
// wakes it.
type compactors struct {
	db    *badger.DB
	quiet time.Duration
	used  atomic.Bool // written to since the last look
	rest  atomic.Bool // they are stopped

	mu    sync.Mutex
	timer *time.Timer // looks, while they run
}

//go:linkname stopCompactions github.com/dgraph-io/badger/v4.(*DB).stopCompactions
func stopCompactions(*badger.DB)

//go:linkname startCompactions github.com/dgraph-io/badger/v4.(*DB).startCompactions
func startCompactions(*badger.DB)

// tend takes over the compactors of a database that has just been opened.
func tend(db *badger.DB, quiet time.Duration) *compactors {
	c := &compactors{db: db, quiet: quiet}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(quiet, c.look)
	return c
}

// wrote is called with every write.
func (c *compactors) wrote() {
	c.used.Store(true)
	if c.rest.Load() {
		c.resume()
	}
}

func (c *compactors) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		return
	}
	if c.used.Swap(false) || needed(c.db) {
		c.timer.Reset(c.quiet)
		return
	}
	stopCompactions(c.db)
	c.rest.Store(true)
	if c.used.Load() { // a write came in between and may not have seen it
		c.start()
	}
}

func (c *compactors) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil && c.rest.Load() {
		c.start()
	}
}

func (c *compactors) start() {
	startCompactions(c.db)
	c.rest.Store(false)
	c.timer.Reset(c.quiet)
}

// close leaves the compactors as they are, for Badger's own Close.
func (c *compactors) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.timer = nil
}

// needed reports whether a level is so full that a compactor has work.
func needed(db *badger.DB) bool {
	return slices.ContainsFunc(db.Levels(), func(l badger.LevelInfo) bool { return l.Score >= 1 })
}
