package node

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/member"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// keeper does what a node needs in the background: it makes the state durable,
// forgets the log behind it, lets old versions go and compacts by the retention.
type keeper struct {
	node  *Node
	due   chan struct{} // checkpointBytes were applied
	bytes int           // applied since the last checkpoint; the applier's
	// samples are the revisions of the past, oldest first, for a retention by age.
	samples []sample
}

type sample struct {
	at       time.Time
	revision int64
}

// wrote counts what the applier has written.
func (k *keeper) wrote(bytes int) {
	if k.bytes += bytes; k.bytes >= checkpointBytes {
		k.bytes = 0
		select {
		case k.due <- struct{}{}:
		default:
		}
	}
}

// run works until ctx ends or the disk fails.
func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.due:
		case <-ticker.C:
			k.compact()
		}
		if err := k.checkpoint(ctx); err != nil {
			k.node.fail(err)
			return
		}
	}
}

// checkpoint makes the state durable as it is now, records that, and only then
// lets go of what the record makes unnecessary.
func (k *keeper) checkpoint(ctx context.Context) error {
	n := k.node
	c := member.NewCheckpoint(n.published(), n.store)
	if c.Needed() {
		more, err := c.Sync()
		if err != nil || !more {
			return err
		}
		recorded := make(chan struct{})
		n.box.do(func(on *consensus) {
			n.appender.put(c.Record(on.member, func() { close(recorded) }))
		})
		select {
		case <-recorded:
		case <-ctx.Done():
			return nil
		}
	}
	c.Release()
	for more := true; more; {
		var err error
		if !n.applier.do(ctx, func() { more, err = c.Trim(n.machine()) }) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	n.box.do(func(on *consensus) {
		keep := replica.Retention{Entries: keepEntries, EntryBytes: min(keepEntryBytes, n.cfg.LogRetainBytes), Bytes: n.cfg.LogRetainBytes}
		if it := c.Truncate(on.member, keep); it != nil {
			n.appender.put(*it)
		}
	})
	return nil
}

// compact proposes a compaction where this node leads and the retention allows.
func (k *keeper) compact() {
	n := k.node
	p, keep := n.published(), n.cfg.Retention
	var target int64
	switch {
	case keep.Revisions > 0:
		// In steps, so that a busy cluster does not compact all the time.
		if target = p.Revision - keep.Revisions; target < p.Compacted+max(keep.Revisions/10, 1) {
			return
		}
	case keep.Age > 0:
		target = k.aged(p.Revision, keep.Age)
	}
	if target <= p.Compacted || !n.consensus.role.Load().Serving {
		return
	}
	c := &command.Command{Op: &command.Command_Compact{Compact: &kvpb.CompactRequest{Revision: target}}}
	data, err := proto.Marshal(c)
	if err != nil {
		n.fail(err)
		return
	}
	req := &writeRequest{request: n.internalRequest("auto-compaction"),
		render: func(mvcc.Result) (answer, error) { return answer{}, nil }}
	n.propose(replica.Proposal{Command: data, Deadline: req.deadline, Tag: req})
}

// aged samples the revision and returns the newest one that is older than age.
// Every node samples, so that a new leader knows the past as well.
func (k *keeper) aged(revision int64, age time.Duration) int64 {
	now := time.Now()
	if s := k.samples; len(s) == 0 || now.Sub(s[len(s)-1].at) >= age/100 {
		k.samples = append(s, sample{now, revision})
	}
	var target int64
	for len(k.samples) > 0 && now.Sub(k.samples[0].at) >= age {
		target = k.samples[0].revision
		k.samples = k.samples[1:]
	}
	return target
}
