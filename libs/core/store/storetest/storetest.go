// Package storetest is the suite that every driver of package store passes. It
// checks what the contract promises between calls and over a restart; what is
// found after power loss is the drivers' own tests' to show.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

// Harness is the storage of one node that was started for the first time with
// Bootstrap.
type Harness struct {
	Node store.Node
	// Reopen closes Node, restarts the process as it were, and returns what it
	// finds. The test closes what it got last.
	Reopen func(t *testing.T) store.Node
}

// Bootstrap is what the harness's node was started with.
func Bootstrap() *raftpb.SnapshotMetadata {
	return &raftpb.SnapshotMetadata{
		Index:     new(uint64(1)),
		Term:      new(uint64(1)),
		ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}},
	}
}

// Run runs the suite. open makes a new, empty node for each test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, f *fixture)
	}{
		{"ReadsAsOfTS", testReadsAsOfTS},
		{"Scan", testScan},
		{"ScanMatchesModel", testScanMatchesModel},
		{"RewriteIsIdempotent", testRewrite},
		{"OutOfOrderTS", testOutOfOrder},
		{"Bounds", testBounds},
		{"Discard", testDiscard},
		{"ViewsHoldBackDiscard", testViewsHoldBack},
		{"DiscardThenExport", testDiscardExport},
		{"ViewIsStable", testViewStable},
		{"StateSurvivesReopen", testStateReopen},
		{"LogBootstrap", testLogBootstrap},
		{"LogAppend", testLogAppend},
		{"LogOverwrite", testLogOverwrite},
		{"LogLimits", testLogLimits},
		{"LogTruncate", testLogTruncate},
		{"LogRefusals", testLogRefusals},
		{"LogLarge", testLogLarge},
		{"LogHardState", testLogHardState},
		{"CheckpointNeverFalls", testCheckpoint},
		{"Install", testInstall},
		{"InstallWithEntries", testInstallWithEntries},
		{"ReceiveAgain", testReceiveAgain},
		{"AbandonedReceive", testAbandonedReceive},
		{"Closed", testClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, h: open(t)}
			f.node = f.h.Node
			defer func() { f.ok(f.node.Close()) }()
			test.run(t, f)
		})
	}
}

// fixture is one test's node, with helpers that fail the test.
type fixture struct {
	t    *testing.T
	h    Harness
	node store.Node
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.node = f.h.Reopen(f.t)
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantErr(err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Fatalf("error %v, want %v", err, want)
	}
}

// refused is for mistakes that have no error of their own.
func (f *fixture) refused(err error, what string) {
	f.t.Helper()
	if err == nil {
		f.t.Fatalf("%s was accepted", what)
	}
}

func put(key, value string, ts store.TS) store.Mutation {
	return store.Mutation{Key: []byte(key), Value: []byte(value), TS: ts}
}

func del(key string, ts store.TS) store.Mutation {
	return store.Mutation{Key: []byte(key), TS: ts, Delete: true}
}

func (f *fixture) write(muts ...store.Mutation) {
	f.t.Helper()
	f.ok(f.node.State().Write(muts))
}

func (f *fixture) view(ts store.TS) store.View {
	f.t.Helper()
	v, err := f.node.State().Read(ts)
	f.ok(err)
	return v
}

// get is the value of key at ts, "-" if there is none.
func (f *fixture) get(ts store.TS, key string) string {
	f.t.Helper()
	v := f.view(ts)
	defer v.Close()
	return f.getIn(v, key)
}

func (f *fixture) getIn(v store.View, key string) string {
	f.t.Helper()
	value, err := v.Get([]byte(key))
	if errors.Is(err, store.ErrNotFound) {
		return "-"
	}
	f.ok(err)
	return string(value)
}

func (f *fixture) want(ts store.TS, key, want string) {
	f.t.Helper()
	if got := f.get(ts, key); got != want {
		f.t.Fatalf("key %q at %d: %q, want %q", key, ts, got, want)
	}
}

// scan renders a scan as "key=value " pairs. Bounds: "" lower is the start,
// "" upper is no bound.
func (f *fixture) scan(ts store.TS, lower, upper string, reverse bool) string {
	f.t.Helper()
	v := f.view(ts)
	defer v.Close()
	return f.scanIn(v, lower, upper, reverse)
}

func (f *fixture) scanIn(v store.View, lower, upper string, reverse bool) string {
	f.t.Helper()
	var hi []byte
	if upper != "" {
		hi = []byte(upper)
	}
	it := v.Scan([]byte(lower), hi, reverse)
	defer it.Close()
	var out bytes.Buffer
	for it.Next() {
		fmt.Fprintf(&out, "%s=%s ", it.Key(), it.Value())
	}
	f.ok(it.Err())
	return out.String()
}

func (f *fixture) versions(v store.View) []store.Mutation {
	f.t.Helper()
	var all []store.Mutation
	f.ok(v.Versions(func(m store.Mutation) error {
		m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
		all = append(all, m)
		return nil
	}))
	return all
}

func entry(index, term uint64, data string) *raftpb.Entry {
	return &raftpb.Entry{Index: &index, Term: &term, Data: []byte(data)}
}

// entries lo..hi of a term, with data that tells them apart.
func entries(lo, hi, term uint64) []*raftpb.Entry {
	var out []*raftpb.Entry
	for i := lo; i <= hi; i++ {
		out = append(out, entry(i, term, fmt.Sprintf("data of %d in %d", i, term)))
	}
	return out
}

func (f *fixture) append(b store.Batch) {
	f.t.Helper()
	f.ok(f.node.Log().Append(b))
}
