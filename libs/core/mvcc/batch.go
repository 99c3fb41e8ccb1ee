package mvcc

import (
	"errors"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"google.golang.org/protobuf/proto"
)

// batch is what one call of Apply is about to write.
type batch struct {
	m    *Machine
	src  source // the state before the batch and the batch's own writes; TS of the current command
	meta meta   // after the last command

	muts      []store.Mutation
	rows      rows // of leases, before the batch and as it writes them
	events    []*kvpb.Event
	timers    []Timer
	arena     arena
	firstRev  int64      // the first revision that the batch makes
	revisions []store.TS // of each revision that it has made

	// Of the current command:
	changes []*version // in the order of their subs
	mark    int        // mutations before it
	timed   int        // timers before it
	answer  answer
}

func newBatch(m *Machine, view store.View) *batch {
	return &batch{
		m:        m,
		src:      source{view: view, over: newOverlay(), segments: m.segments.show()},
		rows:     rows{view: view},
		meta:     m.meta,
		firstRev: m.meta.revision + 1,
	}
}

func (b *batch) entry(e *Entry) ([]Result, error) {
	b.m.digest.begin(b.meta.digest, e.Index)
	var results []Result
	if len(e.Commands) > 0 {
		results = make([]Result, len(e.Commands))
	}
	for n, c := range e.Commands {
		b.begin(store.At(e.Index, n))
		if err := b.command(c, &results[n]); err != nil {
			return nil, err
		}
	}
	b.meta.index, b.meta.term, b.meta.digest = e.Index, e.Term, b.m.digest.end()
	b.muts = append(b.muts, store.Mutation{
		Key: metaKey, Value: appendMeta(b.arena.alloc(metaBytes), &b.meta), TS: store.EndOf(e.Index),
	})
	return results, b.writeSegments(e.Index)
}

func (b *batch) begin(ts store.TS) {
	b.src.ts, b.mark, b.changes = ts, len(b.muts), b.changes[:0]
	b.timed = len(b.timers)
	b.answer = answer{limits: &b.m.limits, left: b.m.limits.answerBytes}
}

// command applies one command. The error is of the store: what is wrong with
// the command is in res.
func (b *batch) command(c *command.Command, res *Result) error {
	if e := check(c); e != nil {
		b.fail(res, e)
		return nil
	}
	if c.MsgId != "" {
		if old, found, err := b.recall(c); err != nil {
			return err
		} else if found {
			if *res = old; !old.Duplicate {
				b.fail(res, old.Err)
			}
			return nil
		}
	}
	if err := b.execute(c, res); err != nil {
		var e *api.Error
		if !errors.As(err, &e) {
			return err
		}
		b.rollback()
		b.fail(res, e)
	} else {
		b.commit()
		res.Revision = b.meta.revision
	}
	if c.MsgId != "" {
		return b.remember(c, res)
	}
	return nil
}

// fail makes e the result, a copy: some errors are shared.
func (b *batch) fail(res *Result, e *api.Error) {
	failed := *e
	failed.Revision = b.meta.revision
	*res = Result{Err: &failed, Revision: b.meta.revision}
}

func (b *batch) execute(c *command.Command, res *Result) error {
	resp, err := b.run(c)
	if err != nil {
		return err
	}
	if res.Response = resp; b.answer.over {
		res.Response, res.Omitted = withoutResults(resp), true
	}
	return nil
}

func (b *batch) run(c *command.Command) (proto.Message, error) {
	switch op := c.Op.(type) {
	case *command.Command_Put:
		return b.putIf(op.Put, c.IfRevision)
	case *command.Command_DeleteRange:
		if err := b.holds(op.DeleteRange.Key, c.IfRevision); err != nil {
			return nil, err
		}
		return b.deleteRange(op.DeleteRange)
	case *command.Command_Txn:
		path, err := branches(&b.src, op.Txn, nil)
		if err != nil {
			return nil, err
		}
		return runTxn(b, op.Txn, &path)
	case *command.Command_Compact:
		return b.compact(op.Compact)
	case *command.Command_LeaseGrant:
		return b.grant(op.LeaseGrant)
	case *command.Command_LeaseRevoke:
		return b.revoke(op.LeaseRevoke)
	case *command.Command_Expire:
		return b.expire(op.Expire)
	}
	return nil, errNoCommand
}

// commit gives the command's changes, if there are any, a revision.
func (b *batch) commit() {
	b.src.over.keep()
	b.muts = b.rows.keep(b.muts)
	if len(b.changes) == 0 {
		return
	}
	b.m.segments.count(b.changes)
	b.meta.revision++
	b.revisions = append(b.revisions, b.src.ts)
	b.m.digest.revision(&b.meta, uint64(b.src.ts), b.changes)
	for first := 0; first < len(b.changes); first += blockChanges {
		b.writeChanges(first, min(first+blockChanges, len(b.changes)))
	}
	for sub, v := range b.changes {
		e := &kvpb.Event{Sub: int64(sub), Last: sub == len(b.changes)-1}
		if v.deleted {
			e.Expired = v.expired
			e.Type, e.Kv = kvpb.Event_DELETE, &kvpb.KeyValue{Key: v.key, ModRevision: b.meta.revision}
		} else {
			e.Kv = v.rec.keyValue(v.key, v.rec.value)
		}
		b.events = append(b.events, e)
	}
}

func (b *batch) writeChanges(from, to int) {
	block := changeBlock{ts: b.src.ts, last: to == len(b.changes), changes: make([]change, 0, to-from)}
	size := changeHeaderBytes
	for _, v := range b.changes[from:to] {
		block.changes = append(block.changes, change{deleted: v.deleted, expired: v.expired, key: v.key})
		size += 3 + len(v.key)
	}
	key := appendChangeKey(b.arena.alloc(13), b.meta.revision, from/blockChanges)
	value := appendChangeBlock(b.arena.alloc(size), key, &block)
	b.muts = append(b.muts, store.Mutation{Key: key, Value: value, TS: b.src.ts})
}

// rollback undoes what the command wrote.
func (b *batch) rollback() {
	b.src.over.rollback()
	b.rows.rollback()
	b.muts, b.changes, b.timers = b.muts[:b.mark], b.changes[:0], b.timers[:b.timed]
}
