package client

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// Span is a set of keys that are neighbours in bytewise order.
type Span struct {
	key, end []byte
}

// Key is one key.
func Key(key string) Span { return Span{key: []byte(key)} }

// Prefix is all keys that begin with prefix. A prefix that ends with '/' costs
// least to watch, because NATS can tell its changes from others. The empty
// prefix is All.
func Prefix(prefix string) Span {
	if prefix == "" {
		return All()
	}
	return Span{key: []byte(prefix), end: watchstate.PrefixEnd([]byte(prefix))}
}

// Interval is the keys from, inclusive, up to to, exclusive; an empty to means
// no upper end.
func Interval(from, to string) Span {
	if from == "" {
		from = "\x00"
	}
	if to == "" {
		to = "\x00"
	}
	return Span{key: []byte(from), end: []byte(to)}
}

// All is every key.
func All() Span { return Interval("", "") }

func (s Span) single() bool { return len(s.end) == 0 }

func (s Span) check() error {
	switch {
	case len(s.key) == 0:
		return api.Errorf(api.KindBadKey, "the key is empty")
	case len(s.key) > api.MaxKeyBytes:
		return api.Errorf(api.KindBadKey, "the key has %d bytes, the limit is %d", len(s.key), api.MaxKeyBytes)
	case !s.single() && string(s.end) != "\x00" && string(s.key) >= string(s.end):
		return api.Errorf(api.KindBadRequest, "the interval from %q to %q is empty", s.key, s.end)
	}
	return nil
}
