package client

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
)

// reply reads the headers of an answer and keeps the first mistake.
type reply struct {
	header nats.Header
	err    error
}

// number is a decimal header, 0 where it is absent.
func (r *reply) number(name string) int64 { return r.parse(name, 10) }

// parse is a header in a base, 0 where it is absent.
func (r *reply) parse(name string, base int) int64 {
	text := r.header.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, base, 64)
	if err != nil && r.err == nil {
		r.err = api.Errorf(api.KindInternal, "the answer's header %s is %q", name, text)
	}
	return int64(n)
}

// duration is a header with a duration, 0 where it is absent.
func (r *reply) duration(name string) time.Duration {
	text := r.header.Get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil && r.err == nil {
		r.err = api.Errorf(api.KindInternal, "the answer's header %s is %q", name, text)
	}
	return d
}

// keyValue is the key's state as the headers tell it.
func (r *reply) keyValue(key string, value []byte) KeyValue {
	return KeyValue{
		Key: key, Value: value,
		CreateRevision: r.number(api.HeaderCreateRevision),
		ModRevision:    r.number(api.HeaderModRevision),
		Version:        r.number(api.HeaderVersion),
		Lease:          r.parse(api.HeaderLease, 16),
		TTL:            r.duration(api.HeaderTTL),
	}
}

func (r *reply) duplicate() bool { return r.header.Get(api.HeaderDuplicate) == "true" }

// millis is a duration of the wire.
func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func decimal(n int64) []string { return []string{strconv.FormatInt(n, 10)} }
