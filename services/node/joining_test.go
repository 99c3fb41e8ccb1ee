package node

import (
	"strings"
	"testing"

	rules "github.com/kvorum/kvorum/libs/core/joining"
)

// Who waits is told who is no help.
func TestMissing(t *testing.T) {
	cfg := &Config{Name: "b", Peers: []Peer{{"a", "h:1"}, {"b", "h:2"}, {"c", "h:3"}}}
	g := &greeter{cfg: cfg}
	a, c := cfg.Peers[0].ID(), cfg.Peers[2].ID()
	whole := rules.Reply{Membership: rules.Membership{Incarnation: 1, State: rules.StateMember}}
	damaged := rules.Reply{Membership: rules.Membership{Incarnation: 1, State: rules.StateDamaged}}
	for want, replies := range map[string]map[uint64]rules.Reply{
		"nobody":                {a: whole, c: whole},
		"a, c":                  {},
		"a (damaged as well)":   {a: damaged, c: whole},
		"a (damaged as well), ": {a: damaged},
	} {
		if got := g.missing(replies); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
