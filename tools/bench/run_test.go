package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a system without servers, whose operations take a millisecond.
type fake struct {
	session fakeSession
	starts  int
	group   group
}

func (f *fake) name() string                                      { return "kvorum" }
func (f *fake) start(context.Context, string) error               { f.starts++; return nil }
func (f *fake) ready(context.Context) error                       { return nil }
func (f *fake) stop()                                             {}
func (f *fake) servers() *group                                   { return &f.group }
func (f *fake) leader(context.Context) (int, error)               { return 0, nil }
func (f *fake) has(kind) bool                                     { return true }
func (f *fake) open(context.Context, int, place) (session, error) { return &f.session, nil }

type fakeSession struct {
	broken   kind // fails always; put for none
	compares bool
	lose     int // of a put's deliveries
	events   []func(int64, []byte)
	revision int64
}

func (s *fakeSession) do(_ context.Context, k kind, _ int, key string, value []byte) error {
	time.Sleep(time.Millisecond)
	switch {
	case k == s.broken && k != put:
		return errors.New("broken")
	case k == compareAndPut && s.compares && s.revision > 0:
		return errors.New("not that revision")
	case k == put:
		s.revision++
		for _, event := range s.events[min(s.lose, len(s.events)):] {
			event(s.revision, value)
		}
	}
	return nil
}

func (s *fakeSession) putAll(context.Context, int, []string, []byte) error { return nil }
func (s *fakeSession) watch(_ context.Context, _ int, _ string, event func(int64, []byte)) error {
	s.events = append(s.events, event)
	return nil
}
func (s *fakeSession) leases(context.Context, int) error { return nil }
func (s *fakeSession) keep(context.Context, int) error   { time.Sleep(time.Millisecond); return nil }
func (s *fakeSession) close()                            { s.events = nil }

// runFake runs rows on a fake for a second each.
func runFake(t *testing.T, f *fake, rows string) *report {
	t.Helper()
	o, err := flags([]string{"--rows", rows, "--time", "1s", "--clients", "1,8", "--watchers", "5"})
	if err != nil {
		t.Fatal(err)
	}
	rep := &report{Rows: o.names()}
	(&runner{options: o, report: rep, system: f, dir: t.TempDir()}).all(t.Context())
	return rep
}

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rep := runFake(t, &fake{}, "get/*,lease-keepalive/64")
		for row, want := range map[string]int64{"get/1": 1000, "get/8": 8000, "lease-keepalive/64": 6_400_000} {
			r := rep.Results[row]["kvorum"][0]
			if r.Ops < want*99/100 || r.Ops > want*101/100 || r.Elapsed != time.Second || r.P50 < 0.99 || r.P99 > 1.01 || r.Errors != 0 {
				t.Errorf("%s: %d operations in %v, p50 %v ms, p99 %v ms", row, r.Ops, r.Elapsed, r.P50, r.P99)
			}
		}
	})
}

// TestFailedRow: it is told, and the rows after it have a new cluster.
func TestFailedRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{session: fakeSession{broken: rangeOf100}}
		rep := runFake(t, f, "get/8,range-100/8,txn-4/8")
		if len(rep.Failed) != 1 || !strings.HasPrefix(rep.Failed[0], "kvorum range-100/8: ") || !strings.HasSuffix(rep.Failed[0], ": broken") {
			t.Errorf("failed: %q", rep.Failed)
		}
		if rep.Results["range-100/8"] != nil || rep.Results["txn-4/8"] == nil || f.starts != 2 {
			t.Errorf("%d starts, results %v", f.starts, rep.Results)
		}
	})
}

func TestCompareThatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rep := runFake(t, &fake{}, "compare-and-put/8")
		if len(rep.Failed) != 1 || !strings.Contains(rep.Failed[0], "old revision succeeded") {
			t.Errorf("failed: %q", rep.Failed)
		}
		if err := compares(t.Context(), &fakeSession{compares: true}, ""); err != nil {
			t.Error(err)
		}
	})
}

func TestWatchCounts(t *testing.T) {
	for _, lose := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			rep := runFake(t, &fake{session: fakeSession{lose: lose}}, "watch-latency/5,watch-create/5")
			r := rep.Results["watch-latency/5"]["kvorum"][0]
			deliveries := r.Watch.Puts * int64(5-lose)
			if r.Watch.Puts < 85 || r.Watch.Puts > 95 || r.Ops != deliveries || r.P50 < 0.99 || r.P50 > 1.01 {
				t.Errorf("%d deliveries of %d puts, p50 %v ms", r.Ops, r.Watch.Puts, r.P50)
			}
			created := rep.Results["watch-create/5"]["kvorum"][0]
			if created.Watch.Lost != int64(lose) || r.Watch.Late != 0 || (r.Watch.Lost > 0) != (lose > 0) || r.Watch.Lost%2 != 0 {
				t.Errorf("lost %d of one, %+v of all", created.Watch.Lost, *r.Watch)
			}
		})
	}
}
