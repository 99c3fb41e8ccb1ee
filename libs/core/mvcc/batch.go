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
	versions  slab[version]
	told      slab[toldEvent]
	puts      slab[putAnswer]
	open      openChanges
	firstRev  int64      // the first revision that the batch makes
	revisions []store.TS // of each revision that it has made

	// Of the current command:
	changes []*version // in the order of their subs
	mark    int        // mutations before it
	timed   int        // timers before it
	answer  answer
}

// What every put takes of memory, each in one piece.
type (
	toldEvent struct {
		event kvpb.Event
		kv    kvpb.KeyValue
	}
	putAnswer struct {
		resp kvpb.PutResponse
		kv   kvpb.KeyValue
	}
)

func newBatch(m *Machine, view store.View, commands int) *batch {
	return &batch{
		muts:     make([]store.Mutation, 0, commands+4),
		events:   make([]*kvpb.Event, 0, commands),
		m:        m,
		src:      source{view: view, over: newOverlay(), hot: m.hot, segments: m.segments.show()},
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
	b.closeChanges(0, true)
	b.closeSlots()
	if err := b.writeSegments(e.Index); err != nil {
		return nil, err
	}
	b.meta.index, b.meta.term, b.meta.digest = e.Index, e.Term, b.m.digest.end()
	b.muts = append(b.muts, store.Mutation{
		Key: metaKey, Value: appendMeta(b.arena.alloc(metaBytes), &b.meta), TS: store.EndOf(e.Index),
	})
	return results, nil
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
	var key dedupKey
	if c.MsgId != "" {
		key = b.m.dedup.key(c.Principal, c.MsgId)
		if old, found, err := b.recall(key, c); err != nil {
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
		return b.remember(key, c, res)
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
	b.meta.revision++
	b.revisions = append(b.revisions, b.src.ts)
	b.m.digest.revision(&b.meta, uint64(b.src.ts), b.changes)
	b.keepChanges()
	for sub, v := range b.changes {
		b.m.segments.count(v)
		e := b.told.one()
		e.event.Sub, e.event.Last, e.event.Kv = int64(sub), sub == len(b.changes)-1, &e.kv
		if v.deleted {
			e.event.Type, e.event.Expired = kvpb.Event_DELETE, v.expired
			e.kv.Key, e.kv.ModRevision = v.key, b.meta.revision
		} else {
			v.rec.show(&e.kv, v.key, v.rec.value)
		}
		b.events = append(b.events, &e.event)
	}
}

// rollback undoes what the command wrote.
func (b *batch) rollback() {
	b.src.over.rollback()
	b.rows.rollback()
	b.muts, b.changes, b.timers = b.muts[:b.mark], b.changes[:0], b.timers[:b.timed]
}
