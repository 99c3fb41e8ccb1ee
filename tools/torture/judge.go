//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
	"github.com/kvorum/kvorum/libs/client"
)

// allKeys is the whole store.
var allKeys = client.All()

// others reports keys that are written by requests which are not recorded: those
// of leases, of the queues of locks, and of bursts.
func others(key []byte) bool {
	for _, prefix := range []string{"/lease/", "/locks/", burstKey} {
		if strings.HasPrefix(string(key), prefix) {
			return true
		}
	}
	return false
}

// judge holds what the clients of a phase saw against the history of the phase,
// which ends with the store end.
func judge(l *load, end *kvpb.RangeResponse) error {
	rec, col := l.rec, l.col
	if err := sameStore(col, end); err != nil {
		return err
	}
	slices.SortStableFunc(rec.ops, func(a, b check.Op) int { return cmp.Compare(a.Call, b.Call) })
	h := check.History{Ops: rec.ops, Events: col.events, Start: col.start, Others: others}
	if err := check.Linearizable(h); err != nil {
		return fmt.Errorf("reads and writes: %w", err)
	}
	compactions := slices.Clone(rec.compactions)
	for _, op := range rec.ops {
		if c, ok := op.Request.(*kvpb.CompactRequest); ok {
			compactions = append(compactions, c.Revision)
		}
	}
	watches := make([]check.Watch, len(rec.watches))
	for i, w := range rec.watches {
		watches[i] = *w
	}
	if err := check.Watches(slices.Concat(before(col.start), col.events), compactions, watches); err != nil {
		return fmt.Errorf("watches: %w", err)
	}
	if err := check.Leases(h, l.leases.seen, 0); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	if err := check.Locks(h, l.locks.spans, 0); err != nil {
		return fmt.Errorf("locks: %w", err)
	}
	if err := check.Revisions(rec.ops); err != nil {
		return fmt.Errorf("revisions: %w", err)
	}
	return nil
}

// before is the store as the events that made it, as far as they can be told.
func before(start *kvpb.RangeResponse) (events []*kvpb.Event) {
	kvs := slices.Clone(start.Kvs)
	slices.SortStableFunc(kvs, func(a, b *kvpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	for i, kv := range kvs {
		e := &kvpb.Event{Kv: kv, Last: true}
		if i > 0 && kvs[i-1].ModRevision == kv.ModRevision {
			e.Sub = events[i-1].Sub + 1
			events[i-1].Last = false
		}
		events = append(events, e)
	}
	return events
}

// sameStore compares the store at the end with what the events make of that at
// the beginning.
func sameStore(col *collector, end *kvpb.RangeResponse) error {
	store := map[string]*kvpb.KeyValue{}
	for _, kv := range col.start.Kvs {
		store[string(kv.Key)] = kv
	}
	for _, e := range col.events {
		if e.Type == kvpb.Event_DELETE {
			delete(store, string(e.Kv.Key))
		} else {
			store[string(e.Kv.Key)] = e.Kv
		}
	}
	for _, kv := range end.Kvs {
		if !proto.Equal(kv, store[string(kv.Key)]) {
			return fmt.Errorf("the store has %v, its history %v", kv, store[string(kv.Key)])
		}
		delete(store, string(kv.Key))
	}
	for _, kv := range store {
		return fmt.Errorf("the history has %v, the store does not", kv)
	}
	return nil
}

// lastOf is the position of the phase's last event.
func lastOf(col *collector, end *kvpb.RangeResponse) api.Position {
	if len(col.events) == 0 {
		return api.Position{Revision: end.Revision}
	}
	return positionOf(col.events[len(col.events)-1])
}

// dump writes a phase's history as JSON lines.
func dump(dir string, rec *recorder, col *collector) {
	err := os.MkdirAll(dir, 0o700)
	write := func(name string, lines func(line func(any))) {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		lines(func(v any) {
			text, failed := json.Marshal(v)
			if failed != nil && err == nil {
				err = failed
			}
			fmt.Fprintf(w, "%s\n", text)
		})
		w.Flush()
		if failed := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); failed != nil && err == nil {
			err = failed
		}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	col.mu.Lock()
	defer col.mu.Unlock()
	write("ops.jsonl", func(line func(any)) {
		for _, op := range rec.ops {
			o := map[string]any{"client": op.Client, "call": op.Call, "return": op.Return, "id": op.MsgID, "kind": fmt.Sprintf("%T", op.Request), "request": text(op.Request)}
			if op.Response != nil {
				o["response"] = text(op.Response)
			}
			if op.Err != nil {
				o["error"] = op.Err.Error()
			}
			line(o)
		}
	})
	write("events.jsonl", func(line func(any)) {
		for _, e := range col.events {
			line(text(e))
		}
	})
	write("start.jsonl", func(line func(any)) { line(text(col.start)) })
	write("watches.jsonl", func(line func(any)) {
		for _, w := range rec.watches {
			line(w)
		}
	})
	if err != nil {
		say("the history could not be kept: %v", err)
	}
}

func text(m proto.Message) json.RawMessage {
	b, err := protojson.Marshal(m)
	if err != nil {
		return json.RawMessage(`"unreadable"`)
	}
	return b
}
