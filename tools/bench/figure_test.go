package main

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	l := newLatencies()
	for i := 1; i <= 1000; i++ {
		l.record(time.Duration(i) * time.Millisecond)
	}
	l.record(time.Hour) // as a minute
	s := l.summary()
	for _, x := range []struct {
		name      string
		got, want float64
	}{{"p50", s.P50, 501}, {"p99", s.P99, 991}, {"p99.9", s.P999, 1000}, {"max", s.Max, 60_000}} {
		if x.got < x.want*0.998 || x.got > x.want*1.002 {
			t.Errorf("%s is %v ms, not %v", x.name, x.got, x.want)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, x := range []struct {
		values []float64
		want   figure
	}{
		{[]float64{7}, figure{7, 7, 7}},
		{[]float64{3, 1, 2}, figure{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, figure{2.5, 1, 4}},
	} {
		if got := figureOf(x.values); got != x.want {
			t.Errorf("figure of %v is %+v, not %+v", x.values, got, x.want)
		}
	}
}

func opsIn(ops ...int64) (list []result) {
	for _, n := range ops {
		list = append(list, result{Ops: n, Elapsed: time.Second, usage: usage{CPUSeconds: 1}, DriverCPU: 2})
	}
	return list
}

func TestRatio(t *testing.T) {
	// The second repeat was slow for both.
	got, ok := ratio(opsIn(300, 30, 330), opsIn(100, 10, 100), result.perSecond)
	if want := (figure{3, 3, 3.3}); !ok || got.Median != want.Median || got.Low != want.Low || got.High < 3.29 || got.High > 3.31 {
		t.Errorf("ratio is %+v, not %+v", got, want)
	}
	if _, ok := ratio(opsIn(1), nil, result.perSecond); ok {
		t.Error("a ratio to nothing")
	}
	if _, ok := ratio(opsIn(1), opsIn(0), result.perSecond); ok {
		t.Error("a ratio to 0")
	}
}

func TestPerOperation(t *testing.T) {
	r := result{Ops: 20_000, Elapsed: 4 * time.Second, usage: usage{CPUSeconds: 6}, DriverCPU: 1}
	if r.perSecond() != 5000 || r.cpuPer10k() < 2.999 || r.cpuPer10k() > 3.001 || r.driverPer10k() != 0.5 || r.cpuPercent() != 150 {
		t.Errorf("%v/s, %v s and %v s for 10k, %v%%", r.perSecond(), r.cpuPer10k(), r.driverPer10k(), r.cpuPercent())
	}
	if none := (result{}); none.perSecond() != 0 || none.cpuPer10k() != 0 {
		t.Error("something of nothing")
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0034: "0.0034", 0.1234: "0.12", 9.994: "9.99", 12.34: "12.3", 99.96: "100", 1234.5: "1234", 123456: "123k"} {
		if got := short(v); got != want {
			t.Errorf("%v is shown as %s, not %s", v, got, want)
		}
	}
}

func TestTally(t *testing.T) {
	var errs tally
	for i := range 10 {
		errs.add(fmt.Errorf("no answer about key %d in 10 s", i))
		errs.add(errors.New(string(rune('a' + i))))
	}
	var r result
	errs.into(&r)
	if r.Errors != 20 || r.ErrorTexts["no answer about key N in N s"] != 10 || r.ErrorTexts["others"] != 10-(tallyTexts-1) {
		t.Errorf("%d errors: %v", r.Errors, r.ErrorTexts)
	}
	if errs.into(&r); r.Errors != 0 {
		t.Error("errors were counted twice")
	}
}

func TestGaps(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	g := &gaps{each: make([]gap, 3)}
	g.reset(at(0))
	g.returned(0, at(0), at(100), nil)
	g.returned(1, at(0), at(200), nil)
	g.returned(2, at(0), at(300), errors.New("timeout")) // no end of a gap
	g.returned(0, at(100), at(700), nil)                 // 500 ms after any other
	if g.wrote(at(150)) {
		t.Error("the third client has not written")
	}
	g.returned(1, at(200), at(900), nil)
	g.returned(2, at(300), at(1800), nil) // 900 ms after any other, 1800 of its own
	if !g.wrote(at(650)) {
		t.Error("all clients have written")
	}
	var r result
	g.into(&r, at(1900))
	if want := (failedOver{Gap: 900, ClientGap: 1800, Call: 1500}); r.Ops != 5 || *r.Failover != want {
		t.Errorf("%d writes, %+v, not %+v", r.Ops, *r.Failover, want)
	}
	g.reset(at(2000))
	g.returned(0, at(2000), at(2100), nil)
	g.returned(1, at(2000), at(2100), nil)
	g.returned(0, at(2000), at(3500), nil)
	g.into(&r, at(4000)) // the third waits for 2000 ms, 600 longer than nobody wrote
	if r.Failover.Gap != 1400 || r.Failover.ClientGap != 2000 || r.Failover.Stuck != 0 {
		t.Errorf("%+v", *r.Failover)
	}
	if g.into(&r, at(5000)); r.Failover.Stuck != 2 {
		t.Errorf("%+v: the second and the third are stuck", *r.Failover)
	}
}

func TestCountersAndDeliveries(t *testing.T) {
	w := &watchers{counters: make(counters, 2)}
	one, two := w.event(0, 0), w.event(1, 0)
	for _, revision := range []int64{5, 6, 6, 4, 9} {
		one(revision, nil)
	}
	two(5, nil)
	if w.sum() != 4 || w.repeated() != 2 {
		t.Errorf("%d deliveries, %d repeated", w.sum(), w.repeated())
	}
	if lost := w.drain(t.Context(), 4); lost != 0 {
		t.Errorf("%d lost", lost)
	}
}
