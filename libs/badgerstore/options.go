package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
)

// options is what both databases are opened with.
type options struct {
	tuning
	minFreeBytes uint64
	logger       *slog.Logger
	verification *verification
}

// tuning is what the tests vary; zero fields take the values of newOptions.
type tuning struct {
	log, state   shape
	tailBytes    uint64 // of the cache of recent log entries
	partBytes    int    // of one transaction of the log
	truncateStep int    // entries in one transaction of a truncation
	atOnceBytes  int64  // of tables that Open verifies
}

// shape is how one database holds its data.
type shape struct {
	memTableBytes  int64 // a transaction takes 15% of it, and at least 1 MiB
	baseTableBytes int64
	blockBytes     int
	newTables      int // how many of them wait before they are merged
}

// What a memtable takes in memory is about 1.3 times its size, and a table that
// is being built twice its size rounded up to a power of two; several are built
// at once.
//
// The log's memtable holds an entry of maxEntryBytes in one transaction. Its blocks
// hold four chunks: a value that does not fit into a block costs three times its
// size while a table is built.
//
// The state's memtable is the smallest that takes a value of MaxStateValueBytes
// and Badger's threshold for values.
func newOptions(cfg Config) options {
	o := options{tuning: cfg.tune, minFreeBytes: cfg.MinFreeBytes, logger: cfg.Logger}
	o.log.orElse(shape{memTableBytes: 16 << 20, baseTableBytes: 8 << 20, blockBytes: 4*chunkBytes + 4<<10, newTables: 5})
	o.state.orElse(shape{memTableBytes: 8 << 20, baseTableBytes: 2 << 20, blockBytes: 16 << 10, newTables: 8})
	orElse(&o.tailBytes, 8<<20)
	orElse(&o.partBytes, maxEntryBytes)
	orElse(&o.truncateStep, 1000)
	orElse(&o.atOnceBytes, 64<<20)
	orElse(&o.minFreeBytes, DefaultMinFreeBytes)
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (s *shape) orElse(def shape) {
	orElse(&s.memTableBytes, def.memTableBytes)
	orElse(&s.baseTableBytes, def.baseTableBytes)
	orElse(&s.blockBytes, def.blockBytes)
	orElse(&s.newTables, def.newTables)
}

func orElse[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

// badger are the options of one database. Without compression Badger needs no
// block cache: the kernel's page cache serves the mapped tables, and the
// process stays small. Checksums of blocks are verified by Open and Scrub alone,
// since Badger skips a damaged block silently when it verifies while reading;
// the records carry their own.
//
// The level that new tables are merged into is large: with Badger's 10 MiB a
// small database would have two levels, and write all data once more.
func (o options) badger(dir string, s shape) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(&badgerLogger{o.logger.With("dir", dir)}).
		WithMemTableSize(s.memTableBytes).
		WithNumMemtables(2).
		WithBaseTableSize(s.baseTableBytes).
		WithBlockSize(s.blockBytes).
		WithNumLevelZeroTables(s.newTables).
		WithNumLevelZeroTablesStall(3 * (s.newTables + 1)).
		WithBaseLevelSize(128 << 20).
		WithNumCompactors(2).
		WithValueThreshold(1 << 20).
		WithValueLogFileSize(16 << 20).
		WithCompression(badgeroptions.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithChecksumVerificationMode(badgeroptions.NoVerification).
		WithSyncWrites(false).
		WithDetectConflicts(false).
		WithMetricsEnabled(false)
}

// openBadger opens a database. What an earlier process may have left in the page
// cache is made durable first, and read from the device again: what is read
// from now on may be acted upon. Tables are verified as verification says:
// Badger reads them in goroutines of its own, where damage would end the process.
func openBadger(opts badger.Options, v *verification, open func(badger.Options) (*badger.DB, error)) (db *badger.DB, err error) {
	dir := opts.Dir
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(corruptf(dir, "the files are damaged: %v", firstLine(r)), ErrNotClosed)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: create %s: %w", dir, err)
	}
	if err := removeEmptyFiles(dir); err != nil {
		return nil, err
	}
	if err := syncLeftFiles(dir); err != nil {
		return nil, err
	}
	tables, err := listedTables(dir, opts)
	if err != nil {
		return nil, err
	}
	if err := v.check(dir, tables); err != nil {
		return nil, err
	}
	db, err = open(opts)
	if err != nil {
		return nil, unreadable(dir, err)
	}
	return db, nil
}

// closePatience is how long a database may take to write out what it holds in
// memory; Badger itself tries for ever where the disk does not let it. After an
// error nothing of that is needed.
const (
	closePatience       = 20 * time.Second
	closePatienceFailed = time.Second
)

// closeBadger fails with ErrNotClosed where Badger may go on working in this
// process.
func closeBadger(dir string, db *badger.DB, failed bool) error {
	patience := closePatience
	if failed {
		patience = closePatienceFailed
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	closed := make(chan error, 1)
	go func() {
		var err error
		defer func() { closed <- err }()
		defer guard(dir, &err)
		err = db.Close()
	}()
	select {
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrNotClosed, dir, err)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("%w: %s: not within %s", ErrNotClosed, dir, patience)
	}
}

// badgerLogger passes on Badger's reports; what it calls information is for
// debugging here.
type badgerLogger struct{ to *slog.Logger }

func (l *badgerLogger) Errorf(format string, args ...any) { l.to.Error(fmt.Sprintf(format, args...)) }

func (l *badgerLogger) Warningf(format string, args ...any) {
	l.to.Warn(fmt.Sprintf(format, args...))
}

func (l *badgerLogger) Infof(format string, args ...any) { l.to.Debug(fmt.Sprintf(format, args...)) }

func (l *badgerLogger) Debugf(string, ...any) {}
