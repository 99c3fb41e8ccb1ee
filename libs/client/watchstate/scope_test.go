package watchstate_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api/subject"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

func TestScopeOf(t *testing.T) {
	deep := "/d" + strings.Repeat("/x", 20)
	for _, c := range []struct {
		key, end     string
		events, tail string
		depth        int
		filtered     bool
	}{
		{"/db/primary", "", "kvwatch.db.primary", "kvtail.key.db.primary", -1, false},
		{"/db/", "/db0", "kvwatch.db.>", "kvtail.under.db", 1, false},
		{"foo/bar/", "foo/bar0", "kvwatch.~.foo.bar.>", "kvtail.under.~.foo.bar", 3, false},
		{"/db/pri", "/db/prj", "kvwatch.db.>", "kvtail.under.db", 1, true},
		{"/db/a", "/db/c", "kvwatch.db.>", "kvtail.under.db", 1, true},
		{"/db", "/dc", "kvwatch.>", "kvtail.under", 0, true},
		{"/", "0", "kvwatch.>", "kvtail.under", 0, true},
		{"/db/", "\x00", "kvwatch.>", "kvtail.under", 0, true},
		{"\x00", "\x00", "kvwatch.>", "kvtail.under", 0, false},
		{"", "\x00", "kvwatch.>", "kvtail.under", 0, false},
		{deep, "", "kvwatch.d" + strings.Repeat(".x", 15) + ".>", "kvtail.under.d" + strings.Repeat(".x", 15), 16, true},
		{"/" + strings.Repeat("k", 2000), "", "kvwatch.>", "kvtail.under", 0, true},
	} {
		s := watchstate.ScopeOf([]byte(c.key), []byte(c.end))
		if s.Events != c.events || s.Tail != c.tail || s.Depth != c.depth || (s.Match != nil) != c.filtered {
			t.Errorf("%q to %q: %q %q %d %v", c.key, c.end, s.Events, s.Tail, s.Depth, s.Match != nil)
		}
	}
}

// TestScopeCovers: whatever the range, the event of a key of it is published
// where the scope listens, and Kv-Since has an element for it.
func TestScopeCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() []byte {
		k := make([]byte, 1+rng.IntN(6))
		for i := range k {
			k[i] = "//ab~.\xff"[rng.IntN(8)%7]
		}
		return k
	}
	inside := 0
	for range 100_000 {
		key, end, other := random(), random(), random()
		switch rng.IntN(4) {
		case 0:
			end = nil
		case 1:
			end = watchstate.PrefixEnd(key)
		}
		s := watchstate.ScopeOf(key, end)
		in := bytes.Compare(other, key) >= 0 && (bytes.Equal(end, []byte{0}) || bytes.Compare(other, end) < 0)
		if end == nil {
			in = bytes.Equal(other, key)
		}
		tokens, _ := subject.Event(other)
		heard := matches(s.Events, "kvwatch."+tokens)
		if got := heard && (s.Match == nil || s.Match(other)); got != in {
			t.Fatalf("[%q, %q): %q is delivered: %v, want %v", key, end, other, got, in)
		}
		if in {
			inside++
			if n := strings.Count(tokens, ".") + 1; s.Depth > n {
				t.Fatalf("[%q, %q): depth %d, %q has %d tokens", key, end, s.Depth, other, n)
			}
		}
	}
	if inside < 1000 {
		t.Fatalf("only %d keys were inside", inside)
	}
}

func matches(pattern, subj string) bool {
	if p, ok := strings.CutSuffix(pattern, ">"); ok {
		return strings.HasPrefix(subj, p)
	}
	return pattern == subj
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "/db/": "/db0", "a\xff": "b", "\xff\xff": "\x00", "": "\x00"} {
		if got := watchstate.PrefixEnd([]byte(prefix)); string(got) != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}
