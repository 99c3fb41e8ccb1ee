package badgerstore

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTables verifies, before Badger opens the tables in dir, what it reads
// of each: it does so in goroutines of its own, where a damaged table would
// end the process with a panic that nobody can turn into an error.
func checkTables(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := checkTable(path); err != nil {
			return corruptf(dir, "table %s: %v", filepath.Base(path), err)
		}
	}
	return nil
}

// checkTable verifies the index and the last block of a table. The file ends:
//
//	blocks, index, index length(4), checksum, checksum length(4)
//
// and a block, whose place the index tells:
//
//	entries, offsets, their number(4), checksum, checksum length(4)
func checkTable(path string) (err error) {
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
	table := fb.GetRootAsTableIndex(index, 0)
	var last fb.BlockOffset
	if n := table.OffsetsLength(); n == 0 || !table.Offsets(&last, n-1) {
		return fmt.Errorf("no blocks")
	}
	end := int64(last.Offset()) + int64(last.Len())
	if end > file.size {
		return fmt.Errorf("a block past the end")
	}
	block := make([]byte, last.Len())
	if _, err := f.ReadAt(block, int64(last.Offset())); err != nil {
		return err
	}
	file.size = end
	if sum, err = file.takeLast(); err != nil {
		return err
	}
	if len(sum)+4 > len(block) {
		return fmt.Errorf("a checksum longer than its block")
	}
	return verifySum(block[:len(block)-4-len(sum)], sum)
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
