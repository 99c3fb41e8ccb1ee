package grant

import (
	"fmt"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
)

const ms = int64(1_000_000)

// Each step asks at a time; the answer is the holder's epoch or a refusal.
func TestGrants(t *testing.T) {
	e := func(term, n uint64) api.Epoch { return api.Epoch{Term: term, N: n} }
	var l Leader
	if _, ok := l.Ask("a", api.Epoch{}, 0); ok {
		t.Fatal("a node that does not lead gave a grant")
	}
	l.Lead(3, 0)
	l.Lead(3, 400*ms) // the same term: nothing begins anew
	for i, s := range []struct {
		replica string
		held    api.Epoch
		at      int64
		want    string
	}{
		{"a", e(0, 0), 100 * ms, "refused"}, // a predecessor's grant may still run
		{"b", e(2, 7), 100 * ms, "3.1"},     // unless the asker shows that it holds it
		{"a", e(2, 7), 110 * ms, "refused"}, // b holds it now
		{"b", e(3, 1), 500 * ms, "3.1"},     // it goes on
		{"a", e(0, 0), 1000 * ms, "refused"},
		{"a", e(0, 0), 1001 * ms, "3.2"}, // b did not ask in time
		{"b", e(3, 1), 1002 * ms, "refused"},
		{"a", e(0, 0), 1003 * ms, "3.3"}, // it has forgotten its grant: a new epoch
	} {
		epoch, ok := l.Ask(s.replica, s.held, s.at)
		got := "refused"
		if ok {
			got = epoch.String()
		}
		if got != s.want {
			t.Errorf("step %d, %s at %d ms: %s, want %s", i, s.replica, s.at/ms, got, s.want)
		}
	}
	l.Release("b")
	if h := l.Holder(1100 * ms); h != "a" {
		t.Errorf("a stranger's release ended the grant: the holder is %q", h)
	}
	l.Release("a")
	if h := l.Holder(1100 * ms); h != "" {
		t.Errorf("after the release the holder is %q", h)
	}
	if epoch, ok := l.Ask("b", api.Epoch{}, 1101*ms); !ok || epoch != e(3, 4) {
		t.Errorf("after the release: %v %v", epoch, ok)
	}
	l.Lead(4, 1200*ms)
	if _, ok := l.Ask("c", api.Epoch{}, 1300*ms); ok {
		t.Error("a new term gave a grant while the old one may run")
	}
	if epoch, ok := l.Ask("c", api.Epoch{}, 1701*ms); !ok || epoch != e(4, 1) {
		t.Errorf("after the old grant has run out: %v %v", epoch, ok)
	}
}

func ExampleLeader() {
	var l Leader
	l.Lead(3, 0)
	epoch, ok := l.Ask("watch-1", api.Epoch{}, Period)
	fmt.Println(epoch, ok, l.Holder(Period))
	// Output: 3.1 true watch-1
}
