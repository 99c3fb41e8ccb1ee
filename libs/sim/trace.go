package sim

import (
	"fmt"
	"reflect"
)

// Report counts what happened in a run, so that a test can see that enough did.
type Report struct {
	Revision      int64
	Writes, Reads int // acknowledged
	// Of requests for keys: given up without an answer, refused, answered again.
	GivenUp, Refused, Repeated         int
	Grants, Renewals, Expiries         int // acknowledged, acknowledged, applied
	KeyExpiries                        int
	Locks, FencedWrites, FencedRefused int
	Watches, Delivered                 int // watches begun, revisions delivered
	// Of watches: begun anew, told of a compaction, messages that did not fit,
	// questions asked. Of the fan-out: how often a replica began to publish, asked
	// the store for history, was told that what it follows is compacted.
	Resumed, TooOld, Overflows, Questions     int
	Publishers, StoreQuestions, FeedCompacted int
	Leaders, Snapshots, Checkpoints           int
	Compactions                               int
	Steps, Messages, Entries                  int
	Checks                                    int
	SimulatedMillis                           int64
	// Faults counts by kind, in the order of the fields of Weights.
	Faults [faultKinds]int
	// Trace is a digest of everything that happened, in order: it is equal for
	// two runs of the same options.
	Trace  uint64
	Digest [32]byte
}

// Add adds another run's counts. Revision, Trace and Digest are not counts.
func (r *Report) Add(other Report) {
	sum, more := reflect.ValueOf(r).Elem(), reflect.ValueOf(other)
	for i := range sum.NumField() {
		if f := sum.Field(i); f.Kind() == reflect.Int || f.Kind() == reflect.Int64 {
			f.SetInt(f.Int() + more.Field(i).Int())
		}
	}
	for i, n := range other.Faults {
		r.Faults[i] += n
	}
}

// FaultNames are the kinds of faults, in the order of Report.Faults; an option
// of the same name is the weight of each.
func FaultNames() (names []string) {
	t := reflect.TypeFor[Weights]()
	for i := range t.NumField() {
		names = append(names, flagName(t.Field(i).Name))
	}
	return names
}

func (w *world) finish() Report {
	r := w.report
	r.Revision, r.Digest = w.judge.revision, w.judge.digests[w.judge.index].digest
	r.SimulatedMillis = w.now / ms
	r.Entries = int(w.judge.index)
	var hash uint64
	hash, r.Messages = w.net.Trace()
	w.fold(hash)
	r.Trace = w.hash
	return r
}

// fold adds numbers to the trace.
func (w *world) fold(of ...uint64) {
	h := w.hash
	for _, v := range of {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	w.hash = h
}

// tell adds what happened to the trace and, where somebody wants to know, prints
// it with the time.
func (w *world) tell(what string, of ...any) {
	w.fold(uint64(w.now), uint64(len(what)), uint64(what[0]))
	if w.print != nil {
		w.print(fmt.Sprintf("%9d.%03d ms  ", w.now/ms, w.now%ms/us) + fmt.Sprintf(what, of...))
	}
}
