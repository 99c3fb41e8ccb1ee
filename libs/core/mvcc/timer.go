package mvcc

import (
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// Timer tells whoever keeps time of a lease or of a key with a time to live of
// its own; exactly one of Lease and Key is set. The state holds times to live
// and generations, never deadlines: those are the leader's.
//
// A Timer that is not Gone replaces whatever was told of the same lease or key
// before, and its time to live begins anew.
type Timer struct {
	Lease     int64
	Key       []byte
	TTLMillis int64 // 0 where it is Gone
	// Generation goes into the command.Expire that ends it: the TS of the grant
	// of a lease, the mod revision of a key.
	Generation uint64
	Gone       bool // revoked, deleted or put without a time to live; Generation is the one that ended
}

// keepTTL brings the index of times to live in line with a change of one key.
func (b *batch) keepTTL(key []byte, prev, now *record) {
	if now.ttl == 0 && prev.ttl == 0 {
		return
	}
	stateKey := appendTTLKey(b.arena.alloc(1+len(key)), key)
	if now.ttl == 0 {
		b.muts = append(b.muts, deletion(stateKey, b.src.ts))
		b.timers = append(b.timers, Timer{Key: key, Generation: uint64(prev.mod), Gone: true})
		return
	}
	b.muts = append(b.muts, b.row(stateKey, nil, uint64(now.ttl), uint64(now.mod)))
	b.timers = append(b.timers, Timer{Key: key, TTLMillis: now.ttl, Generation: uint64(now.mod)})
}

// expire deletes what has run out and is still what the proposer saw.
func (b *batch) expire(r *command.Expire) (*kvpb.LeaseRevokeResponse, error) {
	if r.Lease != 0 {
		l, found, err := b.rows.lease(r.Lease)
		if mutant.Is(mutant.ExpireAnyGeneration) {
			r = &command.Expire{Lease: r.Lease, Granted: uint64(l.granted)}
		}
		if err != nil || !found || uint64(l.granted) != r.Granted {
			return &kvpb.LeaseRevokeResponse{Revision: b.currentRevision()}, err
		}
		return b.endLease(r.Lease, &l, true)
	}
	resp := &kvpb.LeaseRevokeResponse{}
	for _, k := range r.Keys {
		prev, found, err := b.src.head(k.Key)
		if err != nil {
			return nil, err
		}
		if found && prev.ttl > 0 && (prev.mod == k.ModRevision || mutant.Is(mutant.ExpireAnyGeneration)) {
			if err := b.remove(k.Key, &prev, true); err != nil {
				return nil, err
			}
			resp.Deleted++
		}
	}
	resp.Revision = b.currentRevision()
	return resp, nil
}

// Timers calls fn for every lease and every key that has a time to live, until
// fn fails, whose error it returns. Key is valid during the call only. Together
// with the Timers of what is applied after p they tell the same as all Timers
// since the beginning.
func (p *Published) Timers(fn func(Timer) error) error {
	_, view, err := p.open()
	if err != nil {
		return err
	}
	defer view.Close()
	err = scanLeases(view, 0, func(id int64, l *lease) (bool, error) {
		return true, fn(Timer{Lease: id, TTLMillis: l.ttlMillis, Generation: uint64(l.granted)})
	})
	if err != nil {
		return err
	}
	var words [2]uint64
	return scanRows(view, []byte{prefixTTL}, []byte{prefixTTL + 1}, words[:], nil, func(stateKey []byte) (bool, error) {
		return true, fn(Timer{Key: stateKey[1:], TTLMillis: int64(words[0]), Generation: words[1]})
	})
}
