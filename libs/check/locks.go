package check

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// Hold is the time in which a client may believe that it holds a lock.
type Hold struct {
	Client int
	Name   string
	Fence  int64
	// From is when the answer came that gave it the lock; Until when it gave it
	// up or learned that it was lost, and at most its lease's time to live after
	// the last renewal that was acknowledged was sent.
	From, Until int64
}

// Locks demands that a name has one holder at a time, as the holders' own clocks
// go (which differ by at most tolerance), that fences rise from holder to
// holder, and that each is the create revision of a contender that was first in
// the queue.
func Locks(h History, holds []Hold, tolerance int64) error {
	first := fences(h)
	holds = slices.Clone(holds)
	slices.SortStableFunc(holds, func(a, b Hold) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.From, b.From))
	})
	var last *Hold // of this name, who believes longest
	for i := range holds {
		hold := &holds[i]
		if last != nil && last.Name != hold.Name {
			last = nil
		}
		switch {
		case !first[fence{hold.Name, hold.Fence}]:
			return fmt.Errorf("nobody was first in the queue for %q with the fence of %s", hold.Name, hold)
		case last != nil && last.Fence == hold.Fence && last.Client != hold.Client:
			return fmt.Errorf("two have one fence: %s; %s", last, hold)
		case last != nil && last.Client != hold.Client && hold.From+tolerance < last.Until:
			return fmt.Errorf("two hold %q: %s; %s", hold.Name, last, hold)
		}
		if last == nil || hold.Until > last.Until {
			last = hold
		}
	}
	return nil
}

func (h *Hold) String() string {
	return fmt.Sprintf("client %d, %s to %s s, fence %d", h.Client, seconds(h.From), seconds(h.Until), h.Fence)
}

type fence struct {
	name     string
	revision int64
}

// fences are all that were ever first in the queue for their name.
func fences(h History) map[fence]bool {
	q := &queues{waiting: map[string]map[int64]bool{}, created: map[string]int64{}, first: map[fence]bool{}}
	for _, kv := range h.Start.GetKvs() {
		q.put(kv)
	}
	q.settle()
	for _, ev := range h.Events {
		if ev.Type == kvpb.Event_PUT {
			q.put(ev.Kv)
		} else if name, ok := contender(ev.Kv.Key); ok {
			delete(q.waiting[name], q.created[string(ev.Kv.Key)])
			q.touched = append(q.touched, name)
		}
		if ev.Last {
			q.settle()
		}
	}
	return q.first
}

// queues are the contenders of each name, by their create revision.
type queues struct {
	waiting map[string]map[int64]bool
	created map[string]int64 // by key
	touched []string         // names, in this revision
	first   map[fence]bool
}

// contender takes a contender's key apart.
func contender(key []byte) (name string, ok bool) {
	i := bytes.LastIndexByte(key, '/')
	_, err := hex.DecodeString(string(key[i+1:]))
	return string(key[:max(i, 0)]), i > 0 && err == nil && len(key[i+1:]) == 16
}

func (q *queues) put(kv *kvpb.KeyValue) {
	name, ok := contender(kv.Key)
	if !ok {
		return
	}
	if q.waiting[name] == nil {
		q.waiting[name] = map[int64]bool{}
	}
	q.waiting[name][kv.CreateRevision] = true
	q.created[string(kv.Key)] = kv.CreateRevision
	q.touched = append(q.touched, name)
}

// settle ends a revision.
func (q *queues) settle() {
	for _, name := range q.touched {
		lowest := int64(0)
		for revision := range q.waiting[name] {
			if lowest == 0 || revision < lowest {
				lowest = revision
			}
		}
		q.first[fence{name, lowest}] = true
	}
	q.touched = q.touched[:0]
}
