package main

import (
	"strings"
	"testing"
)

func TestWrongInput(t *testing.T) {
	for _, x := range []struct{ args, want string }{
		{"--rows nonsense", "matches no row"},
		{"--rows put/32", "matches no row"},
		{"--rows put/64,nonsense", "nonsense matches no row"},
		{"--rows [", "syntax error"},
		{"--profile-rows nonsense", "matches no row"},
		{"--systems kvorum,zookeeper", `unknown system "zookeeper": there are kvorum`},
		{"--systems=", "--systems is empty"},
		{"--clients 0", "0 clients"},
		{"--clients 20000", "fewer than"},
		{"--watchers -1", "-1 clients or watchers"},
		{"--time 0s", "--time"},
		{"--repeat 0", "--repeat"},
		{"--keys 99", "--keys"},
		{"--load-keys 1", "--load-keys"},
		{"--value-bytes 4", "--value-bytes"},
		{"put/64", "no flags: put/64"},
	} {
		if _, err := flags(strings.Fields(x.args)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, without %q", x.args, err, x.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, x := range []struct {
		pattern, row string
		want         bool
	}{
		{"put/64", "put/64", true}, {"put/64", "put/640", false}, {"put/*", "put/64", true}, {"put/*", "compare-and-put/64", false},
		{"*put/64", "compare-and-put/64", true}, {"watch-*", "watch-max/100", true}, {"*", "watch-max/100", true}, {"get*", "get-serializable/1", true},
		{"*/64", "put/64", true}, {"put/?", "put/64", false},
	} {
		if got := matches(x.pattern, x.row); got != x.want {
			t.Errorf("%s matches %s: %v", x.pattern, x.row, got)
		}
	}
}

// TestUsualRows: a run that names no rows measures every goal, and names none
// that there is not.
func TestUsualRows(t *testing.T) {
	o, err := flags(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usual {
		if err := o.checkPatterns("usual", strings.Fields(u.rows)); err != nil {
			t.Error(err)
		}
	}
	r := &report{}
	for _, row := range o.names() {
		for _, system := range append([]string{limitSystem}, systemNames...) {
			if o.wanted(row, system, 0) {
				res := result{Ops: 1, Elapsed: 1, latency: latency{P50: 1}, usage: usage{CPUSeconds: 1}}
				r.Rows = append(r.Rows, row)
				r.add(row, system, res)
			}
		}
	}
	for _, line := range goalGrid(r)[1:] {
		if line[2] == "not measured" && !strings.HasPrefix(line[0], "keys-10000000") {
			t.Errorf("%s, %s: not measured", line[0], line[3])
		}
	}
	if o.wanted("watch-max/10000", "js-default", 0) || !o.wanted("put/64", "js-default", 1) || o.wanted("put/16", "kvorum", 0) || o.wanted("keys-1000000", "kvorum", 1) {
		t.Error("the usual rows are not what they are")
	}
	if o, err = flags([]string{"--rows", "*", "--load-keys", "10000000"}); err != nil || !o.wanted("keys-10000000", "js-default", 1) || !o.wanted("put/16", "kvorum", 0) {
		t.Errorf("all rows are not all: %v", err)
	}
}
