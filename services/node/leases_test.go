package node

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/command"
)

// A request that names no lease gets one that follows from its message id, and
// a positive one.
func TestChooseLease(t *testing.T) {
	seen := map[int64]bool{}
	for range 1000 {
		seen[chooseLease("")] = true
	}
	if a, b := chooseLease("a"), chooseLease("b"); a != chooseLease("a") || a == b || len(seen) != 1000 {
		t.Errorf("%x %x, %d different ones", a, b, len(seen))
	}
	for id := range seen {
		if id <= 0 {
			t.Errorf("%x", id)
		}
	}
}

func TestTTLHeader(t *testing.T) {
	for in, want := range map[string]int64{"1500ms": 1500, "2m": 120_000, "1.5s": 1500, "1ms": 1} {
		h, err := parseHeaders(nats.Header{"Kv-Ttl": {in}}, api.HeaderTTL)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.ttl(); err != nil || got != want {
			t.Errorf("%q: %d %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "0", "0s", "-1s", "soon", "5", "1us", "1.5ms"} {
		if got, err := (headers{{api.HeaderTTL, bad}}).ttl(); api.KindOf(err) != api.KindBadRequest || !strings.Contains(err.Error(), "100") {
			t.Errorf("%q: %d %v", bad, got, err)
		}
	}
}

// Leases take space, and so are refused while there is little.
func TestGrows(t *testing.T) {
	if !grows(&command.Command{Op: &command.Command_LeaseGrant{}}) || grows(&command.Command{Op: &command.Command_LeaseRevoke{}}) || grows(nil) {
		t.Error("a grant grows the store, a revocation and a read do not")
	}
}
