//go:build linux

package main

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
)

// recorder is what the clients of one phase saw. Its clock is monotonic.
type recorder struct {
	begin time.Time
	meter *meter

	mu          sync.Mutex
	ops         []check.Op
	watches     []*check.Watch
	compactions []int64
}

func newRecorder(m *meter) *recorder { return &recorder{begin: m.begin, meter: m} }

// now is nanoseconds since the run began.
func (r *recorder) now() int64 { return time.Since(r.begin).Nanoseconds() }

// op records a request that was called at a time and has just ended. unknown
// says that it may have taken effect without an answer.
func (r *recorder) op(o check.Op, err error, unknown bool) {
	o.Return = r.now()
	writes := writes(o.Request)
	switch {
	case err == nil:
	case unknown && !writes:
		r.meter.failed(err)
		return // a read without an answer says nothing
	case unknown:
		o.Return, o.Response = check.Unknown, nil
		r.meter.unknown()
	default:
		o.Response, o.Err = nil, err
	}
	if err != nil {
		r.meter.failed(err)
	} else if writes {
		r.meter.wrote()
	} else if read, ok := o.Request.(*kvpb.RangeRequest); ok && !read.Serializable && read.Revision == 0 {
		r.meter.read()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	if c, ok := o.Response.(*kvpb.CompactResponse); ok {
		r.compactions = append(r.compactions, c.Compacted)
	}
}

// watch records one more watch.
func (r *recorder) watch(w *check.Watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches = append(r.watches, w)
}

// unknownOutcome reports whether an error leaves the outcome open.
func unknownOutcome(err error) bool {
	var refused *api.Error
	return err != nil && (!errors.As(err, &refused) || refused.Kind.Unknown())
}

// writes reports whether a request changes the store.
func writes(req proto.Message) bool {
	_, reads := req.(*kvpb.RangeRequest)
	return !reads
}
