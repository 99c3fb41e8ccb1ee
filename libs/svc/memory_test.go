package svc

import "testing"

// A load ends once: when less was allocated than a service at rest does.
func TestLoadEnds(t *testing.T) {
	var l load
	var allocated uint64
	for i, step := range []struct {
		bytes uint64
		ended bool
	}{{1, false}, {quietBytes, false}, {quietBytes * 9, false}, {quietBytes - 1, true}, {0, false}, {quietBytes, false}, {5, true}, {5, false}} {
		allocated += step.bytes
		if got := l.ended(allocated); got != step.ended {
			t.Errorf("step %d: ended %v", i, got)
		}
	}
}
