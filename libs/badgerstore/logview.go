package badgerstore

import (
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// view is the log as readers see it: bounds, terms, and the newest entries.
// Copies share their slices, of which only the newest copy appends.
type view struct {
	meta
	terms     []termSpan // of the entries base+1..last, ascending
	tail      []*raftpb.Entry
	tailBytes uint64
	bytes     uint64 // of the stored records
}

// termSpan says that the entries from first on have a term.
type termSpan struct{ first, term uint64 }

func newView(m *meta) view { return view{meta: *m} }

// add takes an entry at the end; last covers it already.
func (v *view) add(e *raftpb.Entry, stored int, tailBytesMax uint64) {
	if n := len(v.terms); n == 0 || v.terms[n-1].term != e.GetTerm() {
		v.terms = append(v.terms, termSpan{e.GetIndex(), e.GetTerm()})
	}
	v.bytes += uint64(stored)
	v.tail = append(v.tail, e)
	v.tailBytes += tailSize(e)
	for v.tailBytes > tailBytesMax && len(v.tail) > 1 {
		v.tailBytes -= tailSize(v.tail[0])
		v.tail = v.tail[1:]
	}
}

// tailSize is about what a cached entry takes in memory.
func tailSize(e *raftpb.Entry) uint64 { return uint64(len(e.GetData())) + 96 }

// cut drops the entries after m.last, whose records took dropped bytes.
func (v *view) cut(m *meta, dropped uint64) {
	v.meta = *m
	v.bytes -= min(v.bytes, dropped)
	for len(v.tail) > 0 && v.tail[len(v.tail)-1].GetIndex() > m.last {
		v.tailBytes -= tailSize(v.tail[len(v.tail)-1])
		v.tail = v.tail[:len(v.tail)-1]
	}
	v.tail = slices.Clip(v.tail) // Older copies may hold what was cut.
	for len(v.terms) > 0 && v.terms[len(v.terms)-1].first > m.last {
		v.terms = v.terms[:len(v.terms)-1]
	}
	v.terms = slices.Clip(v.terms)
}

// truncate drops the entries up to m.base.
func (v *view) truncate(m *meta) {
	v.meta = *m
	for len(v.tail) > 0 && v.tail[0].GetIndex() <= m.base {
		v.tailBytes -= tailSize(v.tail[0])
		v.tail = v.tail[1:]
	}
	if m.base == m.last {
		v.terms = nil
	}
	for len(v.terms) > 1 && v.terms[1].first <= m.base+1 {
		v.terms = v.terms[1:]
	}
}

// tailFirst is the index from which on entries are in memory.
func (v *view) tailFirst() uint64 { return v.last + 1 - uint64(len(v.tail)) }

func (v *view) term(i uint64) (uint64, error) {
	switch {
	case i < v.base:
		return 0, raft.ErrCompacted
	case i == v.base:
		return v.baseTerm, nil
	case i > v.last:
		return 0, raft.ErrUnavailable
	}
	n := sort.Search(len(v.terms), func(k int) bool { return v.terms[k].first > i })
	return v.terms[n-1].term, nil
}

// current is the readers' view of now.
func (l *raftLog) current() view {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.view
}

// publish changes what readers see in one step.
func (l *raftLog) publish(change func(*view)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.view
	change(&v)
	l.view = v
}
