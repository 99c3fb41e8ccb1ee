package lock

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// suffixBytes is what a contender's key adds to the name.
const suffixBytes = 1 + 16

// Key is the key of a lease's contender for a name.
func Key(name []byte, lease int64) []byte {
	key := make([]byte, 0, len(name)+suffixBytes)
	key = append(append(key, name...), '/')
	return hex.AppendEncode(key, binary.BigEndian.AppendUint64(nil, uint64(lease)))
}

// Contender is the inverse of Key; ok is false for every other key. The name
// shares the key's memory.
func Contender(key []byte) (name []byte, lease int64, ok bool) {
	n := len(key) - suffixBytes
	if n < 1 || key[n] != '/' {
		return nil, 0, false
	}
	var id uint64
	for _, c := range key[n+1:] {
		switch {
		case '0' <= c && c <= '9':
			id = id<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			id = id<<4 | uint64(c-'a'+10)
		default:
			return nil, 0, false
		}
	}
	return key[:n:n], int64(id), id != 0
}

// Held is the compare that holds while a name is held with a fence; with fence
// 0, while nobody holds it.
func Held(name []byte, fence int64) *kvpb.Compare {
	return &kvpb.Compare{Result: kvpb.Compare_EQUAL, Target: kvpb.Compare_LOCK, Key: name, Number: fence}
}

func checkName(name []byte) error {
	if len(name) == 0 {
		return api.Errorf(api.KindBadKey, "the name of the lock is empty")
	}
	if limit := api.MaxKeyBytes - suffixBytes; len(name) > limit {
		return api.Errorf(api.KindBadKey, "the name of the lock has %d bytes, at most %d are allowed", len(name), limit)
	}
	return nil
}
