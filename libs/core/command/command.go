// Package command encodes the entries of the Raft log: up to
// store.MaxCommands commands under one header.
//
// An entry's data, all integers big-endian:
//
//	version 1 byte | origin 8 | sequence 8 | time 8 | count 2 | count x (length 4 | Command, protobuf)
//
// Origin is the id of the node that proposed the entry and sequence a number
// that this process never used before: together they tell a leader which of
// its proposals an applied entry is. Time is the proposer's wall clock in
// nanoseconds since 1970; it is information, nothing is decided by it.
package command

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Version is the entry version that this program writes. It refuses to apply
// any other.
const Version = 1

// HeaderBytes is the size of an entry's header, PrefixBytes what each command
// adds to its encoding.
const (
	HeaderBytes = 27
	PrefixBytes = 4
)

// ErrMalformed is wrapped by every error of Decode.
var ErrMalformed = errors.New("command: malformed entry")

// Header is the header of an entry.
type Header struct {
	Origin   uint64 // node id of the proposer
	Sequence uint64 // unique among the origin's proposals
	Time     int64  // wall clock, nanoseconds since 1970
	Count    int    // commands, 1 to store.MaxCommands
}

// Append encodes an entry onto b from commands that were encoded before.
func Append(b []byte, h Header, commands [][]byte) []byte {
	b = append(b, Version)
	b = binary.BigEndian.AppendUint64(b, h.Origin)
	b = binary.BigEndian.AppendUint64(b, h.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time))
	b = binary.BigEndian.AppendUint16(b, uint16(len(commands)))
	for _, c := range commands {
		b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
		b = append(b, c...)
	}
	return b
}

// DecodeHeader reads the header of an entry.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if b[0] != Version {
		return Header{}, fmt.Errorf("%w: version %d, this program knows %d: upgrade it", ErrMalformed, b[0], Version)
	}
	return Header{
		Origin:   binary.BigEndian.Uint64(b[1:]),
		Sequence: binary.BigEndian.Uint64(b[9:]),
		Time:     int64(binary.BigEndian.Uint64(b[17:])),
		Count:    int(binary.BigEndian.Uint16(b[25:])),
	}, nil
}

// Decode reads a whole entry.
func Decode(b []byte) (Header, []*Command, error) {
	h, err := DecodeHeader(b)
	if err != nil {
		return h, nil, err
	}
	b = b[HeaderBytes:]
	commands := make([]*Command, h.Count)
	for i := range commands {
		if len(b) < PrefixBytes || uint64(len(b)-PrefixBytes) < uint64(binary.BigEndian.Uint32(b)) {
			return h, nil, fmt.Errorf("%w: command %d of %d is cut", ErrMalformed, i, h.Count)
		}
		n := int(binary.BigEndian.Uint32(b))
		c := new(Command)
		if err := proto.Unmarshal(b[PrefixBytes:PrefixBytes+n], c); err != nil {
			return h, nil, fmt.Errorf("%w: command %d: %v", ErrMalformed, i, err)
		}
		if len(c.ProtoReflect().GetUnknown()) > 0 {
			return h, nil, fmt.Errorf("%w: command %d is of a kind that this program does not know: upgrade it", ErrMalformed, i)
		}
		commands[i], b = c, b[PrefixBytes+n:]
	}
	if len(b) > 0 {
		return h, nil, fmt.Errorf("%w: %d bytes after the last command", ErrMalformed, len(b))
	}
	return h, commands, nil
}
