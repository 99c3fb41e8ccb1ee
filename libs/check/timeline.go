package check

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// timeline is the store at every revision, as its events tell it.
type timeline struct {
	start     int64           // the revision before the first event
	revisions [][]*kvpb.Event // of start+1 and so on
	keys      []string        // every key that ever existed, in order
	versions  [][]version     // of each of keys
}

// version is a key since a revision; kv is nil while it does not exist.
type version struct {
	revision int64
	kv       *kvpb.KeyValue
}

// newTimeline refuses events that no store can have had: each revision follows
// the one before and is whole, and each key's revisions and version go on from
// what the key was.
func newTimeline(start *kvpb.RangeResponse, events []*kvpb.Event) (*timeline, error) {
	t := &timeline{start: 1}
	versions := map[string][]version{}
	if start != nil {
		t.start = start.Revision
		for _, kv := range start.Kvs {
			versions[string(kv.Key)] = []version{{start.Revision, kv}}
		}
	}
	for i, ev := range events {
		sub := int64(0)
		if i > 0 && !events[i-1].Last {
			sub = events[i-1].Sub + 1
		} else {
			t.revisions = append(t.revisions, nil)
		}
		if rev := t.end(); ev.GetKv().GetModRevision() != rev || ev.Sub != sub {
			return nil, fmt.Errorf("events: after %s comes %s, want revision %d, place %d", name(events, i-1), name(events, i), rev, sub)
		}
		of := versions[string(ev.Kv.Key)]
		var old *kvpb.KeyValue
		if len(of) > 0 {
			old = of[len(of)-1].kv
		}
		if err := follows(old, ev); err != nil {
			return nil, fmt.Errorf("events: %s: %w", name(events, i), err)
		}
		next := version{t.end(), ev.Kv}
		if ev.Type == kvpb.Event_DELETE {
			next.kv = nil
		}
		if len(of) > 0 && of[len(of)-1].revision == next.revision && next.revision > t.start {
			return nil, fmt.Errorf("events: %s: the key is changed twice in one revision", name(events, i))
		}
		versions[string(ev.Kv.Key)] = append(of, next)
		t.revisions[len(t.revisions)-1] = append(t.revisions[len(t.revisions)-1], ev)
	}
	if n := len(events); n > 0 && !events[n-1].Last {
		return nil, fmt.Errorf("events: they end with %s, inside a revision", name(events, n-1))
	}
	t.keys = slices.Sorted(maps.Keys(versions))
	for _, k := range t.keys {
		t.versions = append(t.versions, versions[k])
	}
	return t, nil
}

func name(events []*kvpb.Event, i int) string {
	if i < 0 {
		return "the start"
	}
	return showEvent(events[i])
}

// follows holds an event against what its key was before.
func follows(old *kvpb.KeyValue, ev *kvpb.Event) error {
	want := &kvpb.KeyValue{Key: ev.Kv.Key, ModRevision: ev.Kv.ModRevision}
	switch {
	case ev.Type == kvpb.Event_DELETE && old == nil:
		return fmt.Errorf("a delete of a key that did not exist")
	case ev.Type == kvpb.Event_PUT:
		want.Value, want.Lease, want.TtlMillis = ev.Kv.Value, ev.Kv.Lease, ev.Kv.TtlMillis
		want.CreateRevision, want.Version = ev.Kv.ModRevision, 1
		if old != nil {
			want.CreateRevision, want.Version = old.CreateRevision, old.Version+1
		}
	}
	switch {
	case !sameKV(ev.Kv, want):
		return fmt.Errorf("want %s", showKV(want))
	case ev.PrevKv != nil && !sameKV(ev.PrevKv, old):
		return fmt.Errorf("its prev_kv is %s, the key was %s", showKV(ev.PrevKv), showKV(old))
	case ev.Kv.Lease != 0 && ev.Kv.TtlMillis != 0:
		return fmt.Errorf("a lease and a time to live")
	case ev.Expired && (ev.Type == kvpb.Event_PUT || old.Lease == 0 && old.TtlMillis == 0):
		return fmt.Errorf("expired, without a lease or time to live")
	}
	return nil
}

// end is the last revision.
func (t *timeline) end() int64 { return t.start + int64(len(t.revisions)) }

// events are those of one revision.
func (t *timeline) events(revision int64) []*kvpb.Event { return t.revisions[revision-t.start-1] }

// at is the key of a place in keys as of a revision, nil where it did not exist.
func (t *timeline) at(place int, revision int64) *kvpb.KeyValue {
	of := t.versions[place]
	i := sort.Search(len(of), func(i int) bool { return of[i].revision > revision })
	if i == 0 {
		return nil
	}
	return of[i-1].kv
}

// get is one key as of a revision.
func (t *timeline) get(key string, revision int64) *kvpb.KeyValue {
	if i, ok := slices.BinarySearch(t.keys, key); ok {
		return t.at(i, revision)
	}
	return nil
}

// each goes through the keys of a range as of a revision.
func (t *timeline) each(key, end string, revision int64, fn func(k string, kv *kvpb.KeyValue)) {
	i, _ := slices.BinarySearch(t.keys, key)
	for ; i < len(t.keys) && within(t.keys[i], key, end); i++ {
		if kv := t.at(i, revision); kv != nil {
			fn(t.keys[i], kv)
		}
	}
}

// within: the key is in the range of the wire: end empty is the one key, "\0"
// everything from key on.
func within(k, key, end string) bool {
	switch end {
	case "":
		return k == key
	case "\x00":
		return k >= key
	}
	return k >= key && k < end
}
