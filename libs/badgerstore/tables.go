package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// Pace is told how many bytes a scrub has just read, and may wait. An error
// ends the scrub with it.
type Pace func(bytes int) error

// listedTables are the numbers of the tables that the database in dir consists
// of. Others may be in the directory, cut short: a crash leaves what was being
// written, and Badger removes it.
func listedTables(dir string, opts badger.Options) (tables []uint64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		// Badger would take the directory for a new one and remove the tables.
		if left, err := filepath.Glob(filepath.Join(dir, "*.sst")); err != nil || len(left) > 0 {
			return nil, errors.Join(err, corruptf(dir, "the file %s is missing beside tables", badger.ManifestFilename))
		}
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(dir, err)
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, opts.ExternalMagicVersion, opts)
	if err != nil {
		return nil, unreadable(dir, err)
	}
	for number := range manifest.Tables {
		tables = append(tables, number)
	}
	return tables, nil
}

// scrubTables verifies the tables of an open database.
func scrubTables(dir string, db *badger.DB, pace Pace) error {
	numbers := func() (list []uint64) {
		for _, t := range db.Tables() {
			list = append(list, t.ID)
		}
		return list
	}
	for _, number := range numbers() {
		err := checkTables(dir, []uint64{number}, true, pace)
		if err != nil && !slices.Contains(numbers(), number) {
			continue // A compaction has truncated and removed it meanwhile.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTables verifies the checksums of tables in dir: all of them as the device
// has them, or those of what Badger reads when it opens a table.
func checkTables(dir string, tables []uint64, whole bool, pace Pace) error {
	for _, number := range tables {
		var paced error // pace has ended the scrub
		err := checkTable(table.NewFilename(number, dir), whole, func(bytes int) error {
			if pace != nil {
				paced = pace(bytes)
			}
			return paced
		})
		switch {
		case paced != nil:
			return paced
		case errors.Is(err, fs.ErrNotExist):
			return errors.Join(err, corruptf(dir, "table %s is missing", table.IDToFilename(number)))
		case err != nil:
			return unreadable(dir, fmt.Errorf("table %s: %w", table.IDToFilename(number), err))
		}
	}
	return nil
}

// checkTable verifies the index and the last block of a table, or the whole. The
// file ends:
//
//	blocks, index, index length(4), checksum, checksum length(4)
//
// and a block, whose place the index tells:
//
//	entries, offsets, their number(4), checksum, checksum length(4)
func checkTable(path string, whole bool, pace Pace) (err error) {
	defer func() {
		if r := recover(); r != nil { // a flatbuffer or checksum that makes no sense
			err = fmt.Errorf("%s", firstLine(r))
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if whole {
		// The device's bytes are to be verified, not the kernel's copy of them.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice; pages in use stay
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file := section{f, info.Size()}
	sum, err := file.takeLast()
	if err != nil {
		return err
	}
	index, err := file.takeLast()
	if err != nil {
		return err
	}
	if err := verifySum(index, sum); err != nil {
		return err
	}
	blocks := fb.GetRootAsTableIndex(index, 0)
	if blocks.OffsetsLength() == 0 {
		return fmt.Errorf("no blocks")
	}
	var place fb.BlockOffset
	var buf []byte
	first := blocks.OffsetsLength() - 1
	if whole {
		first = 0
	}
	for i := first; i < blocks.OffsetsLength(); i++ {
		if !blocks.Offsets(&place, i) {
			return fmt.Errorf("block %d has no place", i)
		}
		if buf, err = checkBlock(file, int64(place.Offset()), int64(place.Len()), buf); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if err := pace(int(place.Len())); err != nil {
			return err
		}
	}
	return nil
}

// checkBlock reads a block into buf, which it returns for the next one.
func checkBlock(file section, offset, length int64, buf []byte) ([]byte, error) {
	if length < 4 || offset+length > file.size {
		return buf, fmt.Errorf("past the end")
	}
	buf = slices.Grow(buf[:0], int(length))[:length]
	if _, err := file.f.ReadAt(buf, offset); err != nil {
		return buf, err
	}
	data, size := buf[:length-4], int64(binary.BigEndian.Uint32(buf[length-4:]))
	if size > int64(len(data)) {
		return buf, fmt.Errorf("a checksum longer than its block")
	}
	split := int64(len(data)) - size
	return buf, verifySum(data[:split], data[split:])
}

// section is the part of a file that was not taken yet.
type section struct {
	f    *os.File
	size int64
}

// takeLast takes a length off the end, and as many bytes as it says.
func (s *section) takeLast() ([]byte, error) {
	var raw [4]byte
	if s.size < int64(len(raw)) {
		return nil, fmt.Errorf("cut off")
	}
	if _, err := s.f.ReadAt(raw[:], s.size-4); err != nil {
		return nil, err
	}
	s.size -= 4
	length := int64(binary.BigEndian.Uint32(raw[:]))
	if length > s.size {
		return nil, fmt.Errorf("a part of %d bytes in %d", length, s.size)
	}
	s.size -= length
	b := make([]byte, length)
	_, err := s.f.ReadAt(b, s.size)
	return b, err
}

func verifySum(data, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return err
	}
	return y.VerifyChecksum(data, &want)
}
