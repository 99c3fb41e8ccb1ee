package mvcc

import (
	"bytes"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
	"github.com/kvorum/kvorum/libs/core/store"
)

// currentRevision counts the command's own revision once it has one.
func (b *batch) currentRevision() int64 {
	if len(b.changes) > 0 {
		return b.meta.revision + 1
	}
	return b.meta.revision
}

func (b *batch) put(r *kvpb.PutRequest) (*kvpb.PutResponse, error) { return b.putIf(r, nil) }

// putIf puts a key, if its mod revision is as wanted.
func (b *batch) putIf(r *kvpb.PutRequest, ifRevision *int64) (*kvpb.PutResponse, error) {
	prev, exists, err := b.src.headOr(r.Key, r.PrevKv || r.IgnoreValue)
	if err != nil {
		return nil, err
	}
	if ifRevision != nil && prev.mod != *ifRevision {
		return nil, errCompareFailed(r.Key, prev.mod, *ifRevision)
	}
	if (r.IgnoreValue || r.IgnoreLease) && !exists {
		return nil, api.Errorf(api.KindNotFound, "key %q does not exist: it has no value or lease to keep", r.Key)
	}
	rec := record{
		mod: b.meta.revision + 1, create: prev.create, version: prev.version + 1,
		lease: r.Lease, ttl: r.TtlMillis, sub: uint32(len(b.changes)), value: r.Value,
	}
	if !exists {
		rec.create = rec.mod
	}
	if r.IgnoreLease {
		rec.lease, rec.ttl = prev.lease, prev.ttl
	}
	if r.IgnoreValue {
		if rec.value, err = b.src.value(r.Key, &prev); err != nil {
			return nil, err
		}
	}
	rec.size = uint32(len(rec.value))
	one := b.puts.one()
	resp := &one.resp
	if r.PrevKv && exists {
		if b.answer.take(len(r.Key) + int(prev.size) + kvOverheadBytes); !b.answer.over {
			if resp.PrevKv, err = b.src.keyValue(r.Key, &prev, true); err != nil {
				return nil, err
			}
		}
	}
	if err := b.attach(r.Key, prev.lease, rec.lease); err != nil {
		return nil, err
	}
	b.keepTTL(r.Key, &prev, &rec)
	v := b.versions.one()
	v.key, v.ts, v.rec = r.Key, b.src.ts, rec
	b.write(v, prev.chunks())
	resp.Revision, resp.Kv = b.currentRevision(), &one.kv
	rec.show(&one.kv, r.Key, nil)
	return resp, nil
}

func errCompareFailed(key []byte, is, want int64) *api.Error {
	e := api.Errorf(api.KindCompareFailed, "key %q has mod revision %d, not %d", key, is, want)
	e.ModRevision = is
	return e
}

// holds checks the mod revision that a command asks a key to have, if it does.
func (b *batch) holds(key []byte, ifRevision *int64) error {
	if ifRevision == nil {
		return nil
	}
	prev, _, err := b.src.head(key)
	if err == nil && prev.mod != *ifRevision {
		return errCompareFailed(key, prev.mod, *ifRevision)
	}
	return err
}

func (b *batch) deleteRange(r *kvpb.DeleteRangeRequest) (*kvpb.DeleteRangeResponse, error) {
	resp := &kvpb.DeleteRangeResponse{}
	var found []item
	gather := func(i *item) (bool, error) {
		if len(b.changes)+len(found) == b.m.limits.deleteKeys {
			return false, api.Errorf(api.KindTooLarge, "the range has more than %d keys to delete: delete it in parts", b.m.limits.deleteKeys)
		}
		rec, err := i.record()
		if err != nil {
			return false, err
		}
		key := bytes.Clone(i.key)
		if r.PrevKv {
			if b.answer.take(len(key) + int(rec.size) + kvOverheadBytes); !b.answer.over {
				kv, err := b.src.keyValue(key, rec, true)
				if err != nil {
					return false, err
				}
				resp.PrevKvs = append(resp.PrevKvs, kv)
			}
		}
		found = append(found, item{key: key, rec: record{mod: rec.mod, lease: rec.lease, ttl: rec.ttl, size: rec.size}})
		return true, nil
	}
	if len(r.RangeEnd) > 0 {
		if err := b.src.scan(r.Key, r.RangeEnd, false, gather); err != nil {
			return nil, err
		}
	} else if rec, exists, err := b.src.headOr(r.Key, r.PrevKv); err != nil {
		return nil, err
	} else if exists {
		if _, err := gather(&item{key: r.Key, rec: rec}); err != nil {
			return nil, err
		}
	}
	for _, i := range found {
		if err := b.remove(i.key, &i.rec, false); err != nil {
			return nil, err
		}
	}
	resp.Revision, resp.Deleted = b.currentRevision(), int64(len(found))
	return resp, nil
}

// remove deletes a key that exists.
func (b *batch) remove(key []byte, prev *record, expired bool) error {
	if err := b.attach(key, prev.lease, 0); err != nil {
		return err
	}
	b.keepTTL(key, prev, &record{})
	b.write(&version{key: key, ts: b.src.ts, deleted: true, expired: expired}, prev.chunks())
	return nil
}

// write adds a change to the command: v takes the place of a record whose value
// had so many chunks.
func (b *batch) write(v *version, oldChunks int) {
	key := appendUserKey(b.arena.alloc(1+len(v.key)), v.key)
	mut := store.Mutation{Key: key, TS: v.ts, Delete: v.deleted}
	if !v.deleted {
		mut.Value = appendRecord(b.arena.alloc(v.rec.encodedBytes()), v.key, &v.rec)
	}
	b.muts = append(b.muts, mut)
	chunks := v.rec.chunks()
	for n := range max(chunks, oldChunks) {
		key := appendChunkKey(nil, v.key, n)
		mut := store.Mutation{Key: key, TS: v.ts, Delete: n >= chunks}
		if !mut.Delete {
			data := v.rec.value[n*chunkBytes : min((n+1)*chunkBytes, len(v.rec.value))]
			mut.Value = appendChunk(b.arena.alloc(chunkHeaderBytes+len(data)), key, v.rec.mod, data)
		}
		b.muts = append(b.muts, mut)
	}
	b.src.over.put(v)
	b.changes = append(b.changes, v)
}

// getRange reads as of the transaction's own writes, or as of a revision from
// before the transaction.
func (b *batch) getRange(r *kvpb.RangeRequest) (*kvpb.RangeResponse, error) {
	src := &b.src
	if r.Revision != 0 {
		ts, err := b.at(r.Revision)
		if err != nil {
			return nil, err
		}
		src = &source{view: b.src.view, over: b.src.over, ts: ts, segments: b.src.segments}
		if before := store.EndOf(b.m.meta.index); ts < before {
			view, err := b.m.st.Read(ts)
			if err != nil {
				return nil, err
			}
			defer view.Close()
			src = &source{view: view, ts: ts}
		}
	}
	resp, err := b.answer.page(src, r)
	if err != nil {
		return nil, err
	}
	resp.Revision = b.currentRevision()
	return resp, nil
}

// at is the TS as of which a revision is read.
func (b *batch) at(revision int64) (store.TS, error) {
	compacted := b.meta.compacted
	if mutant.Is(mutant.ReadCompactedInTxn) {
		compacted = 0
	}
	if err := readable(revision, b.meta.revision, compacted); err != nil {
		return 0, err
	}
	if revision >= b.firstRev {
		return b.revisions[revision-b.firstRev], nil
	}
	return revisionTS(b.src.view, revision)
}

func (b *batch) compact(r *kvpb.CompactRequest) (*kvpb.CompactResponse, error) {
	if r.Revision <= b.meta.compacted {
		return nil, errCompacted(r.Revision, b.meta.compacted)
	}
	ts, err := b.at(r.Revision)
	if err != nil {
		return nil, err
	}
	b.meta.compacted, b.meta.compactedTS = r.Revision, ts
	b.m.digest.compacted(r.Revision)
	return &kvpb.CompactResponse{Revision: b.meta.revision, Compacted: r.Revision}, nil
}
