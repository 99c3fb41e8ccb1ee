package natsbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A frame carries a batch of Raft messages from one node to another. All
// integers are big-endian:
//
//	0       1             9            17           25        29
//	+-------+-------------+------------+------------+---------+----------
//	|version| cluster id  | sender id  | target id  | crc32c  | messages
//	+-------+-------------+------------+------------+---------+----------
//	                                                          |
//	                  repeated to the end:  length 4 | raftpb.Message
//
// The checksum is over everything before it and everything after it. A frame
// holds at least one message.
const (
	frameVersion     = 1
	frameCRCOffset   = 25
	frameHeaderBytes = 29
	framePrefixBytes = 4
)

// errFrame is wrapped by every error of decodeFrame.
var errFrame = errors.New("natsbus: bad frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// address says whose a frame is.
type address struct {
	cluster, sender, target uint64
}

// openFrame starts a frame in b's memory; appendMessage adds to it and
// sealFrame completes it.
func openFrame(b []byte) []byte {
	return append(b[:0], make([]byte, frameHeaderBytes)...)
}

// appendMessage adds m to an open frame. On error the frame is as before.
func appendMessage(frame []byte, m *raftpb.Message) ([]byte, error) {
	start := len(frame)
	b := append(frame, 0, 0, 0, 0)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return frame[:start], fmt.Errorf("natsbus: encode a Raft message: %w", err)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-framePrefixBytes))
	return b, nil
}

// sealFrame writes the header of a frame that is complete.
func sealFrame(frame []byte, a address) {
	frame[0] = frameVersion
	binary.BigEndian.PutUint64(frame[1:], a.cluster)
	binary.BigEndian.PutUint64(frame[9:], a.sender)
	binary.BigEndian.PutUint64(frame[17:], a.target)
	binary.BigEndian.PutUint32(frame[frameCRCOffset:], frameCRC(frame))
}

func frameCRC(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli, frame[:frameCRCOffset])
	return crc32.Update(sum, castagnoli, frame[frameHeaderBytes:])
}

// decodeFrame checks and decodes a frame. The messages share no memory with it.
func decodeFrame(frame []byte) (address, []*raftpb.Message, error) {
	var a address
	if len(frame) <= frameHeaderBytes {
		return a, nil, fmt.Errorf("%w: %d bytes", errFrame, len(frame))
	}
	if frame[0] != frameVersion {
		return a, nil, fmt.Errorf("%w: version %d, this program knows %d", errFrame, frame[0], frameVersion)
	}
	if binary.BigEndian.Uint32(frame[frameCRCOffset:]) != frameCRC(frame) {
		return a, nil, fmt.Errorf("%w: checksum", errFrame)
	}
	a.cluster = binary.BigEndian.Uint64(frame[1:])
	a.sender = binary.BigEndian.Uint64(frame[9:])
	a.target = binary.BigEndian.Uint64(frame[17:])
	var msgs []*raftpb.Message
	for rest := frame[frameHeaderBytes:]; len(rest) > 0; {
		if len(rest) < framePrefixBytes {
			return a, nil, fmt.Errorf("%w: cut off", errFrame)
		}
		n := binary.BigEndian.Uint32(rest)
		rest = rest[framePrefixBytes:]
		if uint64(n) > uint64(len(rest)) {
			return a, nil, fmt.Errorf("%w: cut off", errFrame)
		}
		m := new(raftpb.Message)
		if err := proto.Unmarshal(rest[:n], m); err != nil {
			return a, nil, fmt.Errorf("%w: %w", errFrame, err)
		}
		msgs = append(msgs, m)
		rest = rest[n:]
	}
	return a, msgs, nil
}
