package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
)

// lease is the state of one lease. Which keys are attached stands in rows of
// their own, and in the records of the keys. Most leases have one key: one stands
// here, and has no row, so that such a lease is read and written at one place.
type lease struct {
	ttlMillis int64
	granted   store.TS // of the command that granted it: no other lease of that id has had it
	keys      int64    // attached
	inline    []byte   // one of the keys; empty for none
}

func errLeaseNotFound(id int64) *api.Error {
	return api.Errorf(api.KindLeaseNotFound, "lease %016x does not exist", uint64(id))
}

func leaseOf(words [3]uint64, inline []byte) lease {
	return lease{ttlMillis: int64(words[0]), granted: store.TS(words[1]), keys: int64(words[2]), inline: inline}
}

// lease reads a lease.
func (r *rows) lease(id int64) (l lease, found bool, err error) {
	var words [3]uint64
	var inline []byte
	found, err = r.get(appendLeaseKey(nil, id), words[:], &inline)
	return leaseOf(words, inline), found, err
}

// attached lists the keys of a lease in their order.
func (r *rows) attached(id int64, l *lease) ([][]byte, error) {
	var keys [][]byte
	if len(l.inline) > 0 {
		keys = append(keys, bytes.Clone(l.inline))
	}
	if int64(len(keys)) < l.keys {
		rows, err := r.keys(attachmentBounds(id))
		if err != nil {
			return nil, err
		}
		for _, stateKey := range rows {
			keys = append(keys, stateKey[attachmentHeaderBytes:])
		}
		slices.SortFunc(keys, bytes.Compare)
	}
	if int64(len(keys)) != l.keys {
		return nil, fmt.Errorf("%w: lease %016x has %d keys, not %d", store.ErrCorrupt, uint64(id), len(keys), l.keys)
	}
	return keys, nil
}

func (b *batch) putLease(id int64, l *lease) {
	b.rows.put(b.row(appendLeaseKey(b.arena.alloc(leaseKeyBytes), id), l.inline, uint64(l.ttlMillis), uint64(l.granted), uint64(l.keys)))
}

func (b *batch) grant(r *kvpb.LeaseGrantRequest) (*kvpb.LeaseGrantResponse, error) {
	if _, found, err := b.rows.lease(r.Id); err != nil {
		return nil, err
	} else if found {
		return nil, api.Errorf(api.KindLeaseExists, "lease %016x exists: choose another id, or none", uint64(r.Id))
	}
	l := lease{ttlMillis: r.TtlMillis, granted: b.src.ts}
	b.putLease(r.Id, &l)
	b.m.digest.granted(r.Id, &l)
	b.timers = append(b.timers, Timer{Lease: r.Id, TTLMillis: l.ttlMillis, Generation: uint64(l.granted)})
	return &kvpb.LeaseGrantResponse{Revision: b.meta.revision, Id: r.Id, TtlMillis: r.TtlMillis}, nil
}

func (b *batch) revoke(r *kvpb.LeaseRevokeRequest) (*kvpb.LeaseRevokeResponse, error) {
	l, found, err := b.rows.lease(r.Id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errLeaseNotFound(r.Id)
	}
	return b.endLease(r.Id, &l, false)
}

// endLease deletes a lease with its keys.
func (b *batch) endLease(id int64, l *lease, expired bool) (*kvpb.LeaseRevokeResponse, error) {
	attached, err := b.rows.attached(id, l)
	if err != nil {
		return nil, err
	}
	for _, key := range attached {
		rec, found, err := b.src.get(key)
		if err != nil {
			return nil, err
		}
		if !found || rec.lease != id {
			return nil, fmt.Errorf("%w: key %q is not attached to lease %016x as the lease says", store.ErrCorrupt, key, uint64(id))
		}
		if !bytes.Equal(key, l.inline) {
			b.rows.put(deletion(b.attachmentKey(id, key), b.src.ts))
		}
		b.write(&version{key: key, ts: b.src.ts, deleted: true, expired: expired}, rec.chunks())
	}
	b.rows.put(deletion(appendLeaseKey(b.arena.alloc(leaseKeyBytes), id), b.src.ts))
	b.m.digest.revoked(id)
	b.timers = append(b.timers, Timer{Lease: id, Generation: uint64(l.granted), Gone: true})
	return &kvpb.LeaseRevokeResponse{Revision: b.currentRevision(), Deleted: int64(len(attached))}, nil
}

// attach moves a key from the lease it is attached to, if any, to another, if
// any.
func (b *batch) attach(key []byte, from, to int64) error {
	if from == to {
		return nil // a lease with a key exists
	}
	if to != 0 {
		l, found, err := b.rows.lease(to)
		if err != nil {
			return err
		}
		if !found {
			return errLeaseNotFound(to)
		}
		if l.keys >= int64(b.m.limits.leaseKeys) {
			return api.Errorf(api.KindTooLarge, "lease %016x has %d keys already: grant another", uint64(to), l.keys)
		}
		if l.keys++; len(l.inline) == 0 {
			l.inline = key
		} else {
			b.rows.put(b.row(b.attachmentKey(to, key), nil))
		}
		b.putLease(to, &l)
	}
	if from != 0 {
		l, found, err := b.rows.lease(from)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: key %q is attached to lease %016x, which does not exist", store.ErrCorrupt, key, uint64(from))
		}
		if l.keys--; bytes.Equal(key, l.inline) {
			l.inline = nil
		} else {
			b.rows.put(deletion(b.attachmentKey(from, key), b.src.ts))
		}
		b.putLease(from, &l)
	}
	return nil
}

func (b *batch) attachmentKey(id int64, key []byte) []byte {
	return appendAttachmentKey(b.arena.alloc(attachmentHeaderBytes+len(key)), id, key)
}

// scanLeases calls fn for the leases with ids greater than after, as unsigned
// numbers, in their order, until it returns false or fails.
func scanLeases(view store.View, after int64, fn func(id int64, l *lease) (bool, error)) error {
	var words [3]uint64
	var inline []byte
	lower := append(appendLeaseKey(nil, after), 0)
	return scanRows(view, lower, []byte{prefixLease + 1}, words[:], &inline, func(stateKey []byte) (bool, error) {
		if len(stateKey) != leaseKeyBytes {
			return false, fmt.Errorf("%w: lease key %x", store.ErrCorrupt, stateKey)
		}
		l := leaseOf(words, inline)
		return fn(int64(binary.BigEndian.Uint64(stateKey[1:])), &l)
	})
}

// Lease tells of a lease, with its keys in order where asked for, as of p. What
// is left of its time to live is not in the state: left_millis is 0. Without
// that lease it fails with lease_not_found, with too_large where the keys have
// more than api.MaxAnswerBytes.
func (p *Published) Lease(id int64, keys bool) (*kvpb.LeaseInfoResponse, error) {
	p, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	r := rows{view: view}
	l, found, err := r.lease(id)
	if err != nil {
		return nil, err
	}
	if !found {
		e := errLeaseNotFound(id)
		e.Revision = p.Revision
		return nil, e
	}
	resp := &kvpb.LeaseInfoResponse{Revision: p.Revision, Id: id, TtlMillis: l.ttlMillis}
	if !keys {
		return resp, nil
	}
	if resp.Keys, err = r.attached(id, &l); err != nil {
		return nil, err
	}
	size := 0
	for _, key := range resp.Keys {
		if size += len(key); size > p.m.limits.answerBytes {
			return nil, api.Errorf(api.KindTooLarge, "the keys of lease %016x have more than %d bytes: ask without keys", uint64(id), p.m.limits.answerBytes)
		}
	}
	return resp, nil
}

// HasLeases tells of each lease whether it exists.
func (p *Published) HasLeases(ids []int64) ([]bool, error) {
	_, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	r, alive := rows{view: view}, make([]bool, len(ids))
	for i, id := range ids {
		if _, alive[i], err = r.lease(id); err != nil {
			return nil, err
		}
	}
	return alive, nil
}

// Leases lists ids of leases greater than after, as unsigned numbers, in their
// order. A limit of 0, or of more than leaseListMax, is leaseListMax.
func (p *Published) Leases(after, limit int64) (*kvpb.LeaseListResponse, error) {
	if limit < 0 {
		return nil, api.Errorf(api.KindBadRequest, "limit %d is negative", limit)
	}
	if limit == 0 || limit > leaseListMax {
		limit = leaseListMax
	}
	p, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	resp := &kvpb.LeaseListResponse{Revision: p.Revision}
	err = scanLeases(view, after, func(id int64, _ *lease) (bool, error) {
		if resp.More = int64(len(resp.Ids)) == limit; !resp.More {
			resp.Ids = append(resp.Ids, id)
		}
		return !resp.More, nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}
