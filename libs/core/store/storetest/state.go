package storetest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/core/store"
)

func testReadsAsOfTS(t *testing.T, f *fixture) {
	a, b := store.At(2, 0), store.At(2, 1)
	f.write(put("k", "one", a), put("k", "two", b), put("empty", "", a))
	f.write(del("k", store.At(3, 0)), put("k", "three", store.At(4, 7)))
	for _, c := range []struct {
		ts   store.TS
		want string
	}{
		{a - 1, "-"},
		{a, "one"},
		{b, "two"},
		{store.EndOf(2), "two"},
		{store.At(3, 0), "-"},
		{store.EndOf(3), "-"},
		{store.At(4, 6), "-"},
		{store.At(4, 7), "three"},
		{math.MaxUint64, "three"},
	} {
		f.want(c.ts, "k", c.want)
	}
	f.want(a, "empty", "")
	f.want(a, "kk", "-")
	f.want(a, "", "-")
}

func testScan(t *testing.T, f *fixture) {
	ts := store.At(2, 0)
	for _, k := range []string{"a", "a\x00", "ab", "b", "b\xff", "c", "\xff", "\xff\xff"} {
		f.write(put(k, "1", ts))
	}
	f.write(del("b", ts+5), put("ab", "2", ts+5), put("aa", "new", ts+9))
	for _, c := range []struct {
		ts           store.TS
		lower, upper string
		want         string
	}{
		{ts - 1, "", "", ""},
		{ts, "", "", "a=1 a\x00=1 ab=1 b=1 b\xff=1 c=1 \xff=1 \xff\xff=1 "},
		{ts + 5, "a", "c", "a=1 a\x00=1 ab=2 b\xff=1 "},
		{ts + 5, "b", "b\x00", ""},
		{ts + 5, "ab", "ab\x00", "ab=2 "},
		{ts + 9, "a\x00", "b", "a\x00=1 aa=new ab=2 "},
		{ts + 9, "\xff", "", "\xff=1 \xff\xff=1 "},
		{ts + 9, "c", "c", ""},
		{ts + 9, "d", "b", ""},
		{ts + 9, "d", "e", ""},
	} {
		if got := f.scan(c.ts, c.lower, c.upper, false); got != c.want {
			t.Errorf("scan [%q, %q) at %d: %q, want %q", c.lower, c.upper, c.ts, got, c.want)
		}
		if got, want := f.scan(c.ts, c.lower, c.upper, true), reversed(c.want); got != want {
			t.Errorf("reverse scan [%q, %q) at %d: %q, want %q", c.lower, c.upper, c.ts, got, want)
		}
	}
}

func reversed(pairs string) string {
	if pairs == "" {
		return ""
	}
	list := strings.Split(strings.TrimSuffix(pairs, " "), " ")
	slices.Reverse(list)
	return strings.Join(list, " ") + " "
}

// testScanMatchesModel compares random scans with sorted maps.
func testScanMatchesModel(t *testing.T, f *fixture) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() string { return string([]byte{'a' + byte(rng.IntN(5)), 'a' + byte(rng.IntN(5))})[:1+rng.IntN(2)] }
	var models []map[string]string // by index
	now := map[string]string{}
	for i := uint64(1); i <= 60; i++ {
		var muts []store.Mutation
		for n := range rng.IntN(6) {
			k, ts := key(), store.At(i, n)
			if rng.IntN(3) == 0 {
				delete(now, k)
				muts = append(muts, del(k, ts))
				continue
			}
			now[k] = fmt.Sprint(ts)
			muts = append(muts, put(k, now[k], ts))
		}
		f.write(muts...)
		copied := map[string]string{}
		for k, v := range now {
			copied[k] = v
		}
		models = append(models, copied)
	}
	for range 300 {
		i := 1 + rng.IntN(len(models))
		lower, upper := key(), key()
		if rng.IntN(4) == 0 {
			upper = ""
		}
		want := rendered(models[i-1], lower, upper)
		if got := f.scan(store.EndOf(uint64(i)), lower, upper, false); got != want {
			t.Fatalf("scan [%q, %q) at %d: %q, want %q", lower, upper, i, got, want)
		}
		if got := f.scan(store.EndOf(uint64(i)), lower, upper, true); got != reversed(want) {
			t.Fatalf("reverse scan [%q, %q) at %d: %q, want %q", lower, upper, i, got, reversed(want))
		}
	}
}

func rendered(model map[string]string, lower, upper string) string {
	var keys []string
	for k := range model {
		if k >= lower && (upper == "" || k < upper) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	var out strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&out, "%s=%s ", k, model[k])
	}
	return out.String()
}

func testRewrite(t *testing.T, f *fixture) {
	ts := store.At(2, 0)
	muts := []store.Mutation{put("k", "one", ts), put("k", "two", ts+1), del("gone", ts), put("gone", "back", ts+1)}
	f.write(muts...)
	f.write(muts...)
	f.write(muts[0]) // An old version again hides no newer one.
	f.want(ts, "k", "one")
	f.want(ts+1, "k", "two")
	f.want(ts, "gone", "-")
	f.want(ts+1, "gone", "back")
	v := f.view(ts + 1)
	defer v.Close()
	if n := len(f.versions(v)); n != len(muts) {
		t.Fatalf("%d versions, want %d", n, len(muts))
	}
}

func testOutOfOrder(t *testing.T, f *fixture) {
	base := store.At(5, 0)
	f.write(put("k", "9", base+9))
	f.write(put("k", "3", base+3), del("k", base+6))
	f.write(put("k", "1", base+1))
	for ts, want := range []string{"-", "1", "1", "3", "3", "3", "-", "-", "-", "9", "9"} {
		f.want(base+store.TS(ts), "k", want)
	}
}

func testBounds(t *testing.T, f *fixture) {
	ts := store.At(2, 0)
	key := strings.Repeat("k", store.MaxStateKeyBytes)
	value := strings.Repeat("v", store.MaxStateValueBytes)
	f.write(put(key, value, ts), put("x", value, ts))
	f.want(ts, key, value)
	f.want(ts, "x", value)
	state := f.node.State()
	f.refused(state.Write([]store.Mutation{put("", "", ts)}), "an empty key")
	f.refused(state.Write([]store.Mutation{put(key+"k", "", ts)}), "a long key")
	f.refused(state.Write([]store.Mutation{put("y", value+"v", ts)}), "a long value")
	f.refused(state.Write([]store.Mutation{put("y", "", 0)}), "TS 0")
	f.want(ts, "y", "-")
	var many []store.Mutation
	for i := range 12 {
		many = append(many, put(fmt.Sprintf("many%02d", i), value, ts+1))
	}
	f.write(many...)
	for _, m := range many {
		f.want(ts+1, string(m.Key), value)
	}
	if got := state.Bytes(); got < uint64(len(value)) {
		t.Errorf("Bytes is %d with %d bytes stored", got, 14*len(value))
	}
}

func testDiscard(t *testing.T, f *fixture) {
	f.write(put("k", "1", 1000), put("k", "2", 2000), put("k", "3", 3000), put("d", "1", 1000), del("d", 2000))
	state := f.node.State()
	state.Discard(2500)
	if _, err := state.Read(2499); err == nil {
		t.Fatal("a discarded TS can be read")
	} else {
		f.wantErr(err, store.ErrDiscarded)
	}
	state.Discard(100) // It never goes back.
	_, err := state.Read(2499)
	f.wantErr(err, store.ErrDiscarded)
	f.want(2500, "k", "2")
	f.want(2500, "d", "-")
	f.want(3000, "k", "3")
	if got := f.scan(2999, "", "", false); got != "k=2 " {
		t.Fatalf("scan: %q", got)
	}
}

func testViewsHoldBack(t *testing.T, f *fixture) {
	f.write(put("k", "1", 1000), put("k", "2", 2000), put("k", "3", 3000), put("d", "1", 1000), del("d", 2000))
	old, newer := f.view(1500), f.view(2500)
	f.node.State().Discard(3000)
	if got := f.scanIn(old, "", "", false); got != "d=1 k=1 " {
		t.Fatalf("scan in a held view: %q", got)
	}
	old.Close()
	if got := f.getIn(newer, "k"); got != "2" {
		t.Fatalf("k in a held view: %q", got)
	}
	newer.Close()
	f.want(3000, "k", "3")
}

// testDiscardExport writes what Versions gives into another state, before and
// after a Discard, and compares the answers at every TS that is not discarded.
func testDiscardExport(t *testing.T, f *fixture) {
	rng := rand.New(rand.NewPCG(3, 4))
	const last = 400
	for ts := store.TS(1); ts <= last; ts++ {
		k := fmt.Sprintf("k%02d", rng.IntN(20))
		if rng.IntN(4) == 0 {
			f.write(del(k, ts))
		} else {
			f.write(put(k, fmt.Sprint(ts), ts))
		}
	}
	for _, discard := range []store.TS{0, 150, 399} {
		f.node.State().Discard(discard)
		const asOf = 380
		at := max(asOf, discard)
		in, err := f.node.Receive()
		f.ok(err)
		v := f.view(at)
		for chunk := range slices.Chunk(f.versions(v), 7) {
			f.ok(in.Write(chunk))
		}
		v.Close()
		f.ok(in.Finish())
		answers := map[store.TS]string{}
		for ts := max(1, discard); ts <= at; ts++ {
			answers[ts] = f.scan(ts, "", "", false)
		}
		if discard == 0 {
			f.ok(in.Abort())
			continue
		}
		snapshot := Bootstrap()
		snapshot.Index = new(uint64(discard))
		f.append(store.Batch{Install: &store.Install{Snapshot: snapshot, State: in}})
		for ts, want := range answers {
			if got := f.scan(ts, "", "", false); got != want {
				t.Fatalf("discard %d: imported state at %d: %q, want %q", discard, ts, got, want)
			}
		}
		f.write(put("k00", "later", last+1)) // The received state goes on.
		f.want(last+1, "k00", "later")
	}
}

func testViewStable(t *testing.T, f *fixture) {
	for i := range 50 {
		f.write(put(fmt.Sprintf("k%02d", i), "old", 1000))
	}
	v := f.view(1500)
	defer v.Close()
	want := f.scanIn(v, "", "", false)
	it := v.Scan(nil, nil, false)
	defer it.Close()
	var got bytes.Buffer
	for i := 0; it.Next(); i++ {
		fmt.Fprintf(&got, "%s=%s ", it.Key(), it.Value())
		f.write(del(fmt.Sprintf("k%02d", 49-i), 2000), put(fmt.Sprintf("k%02d+", i), "new", 2000))
	}
	f.ok(it.Err())
	if got.String() != want {
		t.Fatalf("scan beside writes: %q, want %q", got.String(), want)
	}
	if again := f.scanIn(v, "", "", false); again != want {
		t.Fatalf("scan after writes: %q, want %q", again, want)
	}
}

func testStateReopen(t *testing.T, f *fixture) {
	f.write(put("k", "1", 1000), put("k", "2", 2000), del("d", 2000), put("d", "1", 1000))
	f.ok(f.node.State().Sync())
	f.reopen()
	f.want(1000, "k", "1")
	f.want(2000, "k", "2")
	f.want(1999, "d", "1")
	f.want(2000, "d", "-")
	f.write(put("k", "2", 2000), put("k", "3", 3000)) // replay
	f.want(2000, "k", "2")
	f.want(3000, "k", "3")
}
