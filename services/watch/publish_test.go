package watch

import (
	"testing"

	"github.com/kvorum/kvorum/libs/core/fanout"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// The process can be stopped between any two steps. What it does first when it
// goes on may be to publish, and then the grant has run out.
func TestPublishLooksAtTheClock(t *testing.T) {
	bus, err := natsbus.StartClient(natsbus.ClientConfig{Name: "w", RouteListen: "127.0.0.1:0", ClusterName: "test", Secret: "secret-of-the-tests"})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	kv, err := bus.Service()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := kv.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	now := fanout.Instant(1)
	r := &replica{routes: func() uint64 { return 1 }, now: func() fanout.Instant { return now }, kv: kv, rules: granted()}

	published := func() int {
		t.Helper()
		if err := r.publish(); err != nil {
			t.Fatal(err)
		}
		if err := kv.Flush(); err != nil {
			t.Fatal(err)
		}
		n, _, err := sub.Pending()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	now = 600e6
	if n := published(); n != 0 || !r.rules.Waiting() {
		t.Errorf("%d messages published after the grant", n)
	}
	now = 400e6
	if n := published(); n != 1 || r.rules.Waiting() {
		t.Errorf("%d messages published within the grant", n)
	}
}
