package fanout

import "bytes"

// Range selects keys as the messages do: an empty End is the one key, End "\0"
// every key >= Key, else [Key, End). Both empty: everything.
type Range struct {
	Key, End []byte
}

// Contains reports whether the range has the key.
func (r Range) Contains(key []byte) bool {
	if len(r.End) == 0 {
		return len(r.Key) == 0 || bytes.Equal(r.Key, key)
	}
	if bytes.Compare(key, r.Key) < 0 {
		return false
	}
	return len(r.End) == 1 && r.End[0] == 0 || bytes.Compare(key, r.End) < 0
}

// everything reports whether the range has every key.
func (r Range) everything() bool {
	return len(r.Key) == 0 && len(r.End) == 0 ||
		len(r.Key) == 1 && r.Key[0] == 0 && len(r.End) == 1 && r.End[0] == 0
}
