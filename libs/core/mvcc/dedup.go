package mvcc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
)

// dedup is the window of remembered message ids. Ids are numbered as they come;
// number n lives in slot n mod ids, so a full window overwrites its oldest slot
// and leaves no trace of it. Where the bytes run out first, the oldest slots are
// deleted, lest the ring fill up with dead ones. Those alive are always the
// slots of consecutive numbers, which is how they are found again on opening.
//
// In memory are 16 bytes of a hash and a number for each; the ids themselves
// are compared with the slot.
type dedup struct {
	limits limits
	index  map[dedupKey]uint64
	ring   []dedupEntry // of the numbers from tail on
	tail   uint64
	bytes  int               // of the slots in the ring
	fresh  map[uint64][]byte // slots that the store does not have yet
	keyBuf []byte
}

type dedupKey [16]byte

type dedupEntry struct {
	key  dedupKey
	size int
}

func (d *dedup) head() uint64 { return d.tail + uint64(len(d.ring)) }

func (d *dedup) slotKey(number uint64) []byte {
	return appendSlotKey(nil, uint32(number%uint64(d.limits.dedupIDs)))
}

func (d *dedup) key(principal, msgID string) (k dedupKey) {
	d.keyBuf = binary.BigEndian.AppendUint16(d.keyBuf[:0], uint16(len(principal)))
	d.keyBuf = append(append(d.keyBuf, principal...), msgID...)
	sum := sha256.Sum256(d.keyBuf)
	return dedupKey(sum[:16])
}

// openDedup reads the window from a view of the state that m describes.
func openDedup(view store.View, m *meta, l limits) (*dedup, error) {
	d := &dedup{limits: l, index: map[dedupKey]uint64{}, tail: m.dedupTail, fresh: map[uint64][]byte{}}
	ids := uint64(l.dedupIDs)
	if m.dedupHead-m.dedupTail > ids {
		return nil, fmt.Errorf("%w: meta record with %d remembered ids, more than %d", store.ErrCorrupt, m.dedupHead-m.dedupTail, ids)
	}
	for d.head() < m.dedupHead {
		// As many as come before the ring wraps.
		from := d.head()
		n := min(m.dedupHead-from, ids-from%ids)
		upper := appendSlotKey(nil, uint32(from%ids+n))
		if err := d.load(view, d.slotKey(from), upper); err != nil {
			return nil, err
		}
		if d.head() != from+n {
			return nil, fmt.Errorf("%w: %d dedup slots from number %d on, not %d", store.ErrCorrupt, d.head()-from, from, n)
		}
	}
	return d, nil
}

func (d *dedup) load(view store.View, lower, upper []byte) error {
	it := view.Scan(lower, upper, false)
	defer it.Close()
	for it.Next() {
		b := it.Value()
		if err := it.Err(); err != nil {
			return err
		}
		s, err := decodeSlot(it.Key(), b)
		if err != nil {
			return err
		}
		if s.number != d.head() {
			return fmt.Errorf("%w: dedup slot %x has number %d, not %d", store.ErrCorrupt, it.Key(), s.number, d.head())
		}
		d.add(d.key(s.principal, s.msgID), len(b))
	}
	return it.Err()
}

func (d *dedup) add(key dedupKey, size int) {
	d.index[key] = d.head()
	d.ring = append(d.ring, dedupEntry{key, size})
	d.bytes += size
}

func (d *dedup) evict() {
	oldest := d.ring[0]
	if d.index[oldest.key] == d.tail {
		delete(d.index, oldest.key)
	}
	delete(d.fresh, d.tail)
	d.ring, d.bytes, d.tail = d.ring[1:], d.bytes-oldest.size, d.tail+1
}

// recall looks for the result of a command that was applied before.
func (b *batch) recall(c *command.Command) (res Result, found bool, err error) {
	d := b.m.dedup
	number, found := d.index[d.key(c.Principal, c.MsgId)]
	if !found {
		return Result{}, false, nil
	}
	slotKey := d.slotKey(number)
	data, found := d.fresh[number]
	if !found {
		if data, err = b.src.view.Get(slotKey); errors.Is(err, store.ErrNotFound) {
			return Result{}, false, fmt.Errorf("%w: dedup slot %x is missing", store.ErrCorrupt, slotKey)
		} else if err != nil {
			return Result{}, false, err
		}
	}
	s, err := decodeSlot(slotKey, data)
	if err != nil {
		return Result{}, false, err
	}
	if s.number != number || s.principal != c.Principal || s.msgID != c.MsgId {
		return Result{}, false, fmt.Errorf("%w: dedup slot %x is another id's", store.ErrCorrupt, slotKey)
	}
	if !bytes.Equal(s.hash, c.RequestHash) {
		e := api.Errorf(api.KindBadRequest, "the message id %q was used for another request: use a new one for each request", c.MsgId)
		return Result{Err: e, Revision: b.meta.revision}, true, nil
	}
	res, err = s.result()
	return res, err == nil, err
}

// remember adds a command's result to the window and evicts what then is too old.
func (b *batch) remember(c *command.Command, res *Result) error {
	d := b.m.dedup
	if len(d.ring) == d.limits.dedupIDs {
		d.evict() // its slot is about to be overwritten
	}
	s := slot{number: d.head(), principal: c.Principal, msgID: c.MsgId, hash: c.RequestHash}
	if err := s.setResult(res, d.limits.dedupResult); err != nil {
		return err
	}
	slotKey := d.slotKey(s.number)
	data := appendSlot(nil, slotKey, &s)
	b.muts = append(b.muts, store.Mutation{Key: slotKey, Value: data, TS: b.src.ts})
	d.fresh[s.number] = data
	d.add(d.key(c.Principal, c.MsgId), len(data))
	for d.bytes > d.limits.dedupBytes && len(d.ring) > 1 {
		b.muts = append(b.muts, store.Mutation{Key: d.slotKey(d.tail), TS: b.src.ts, Delete: true})
		d.evict()
	}
	b.meta.dedupTail, b.meta.dedupHead = d.tail, d.head()
	b.m.digest.remembered(&s, d.tail)
	return nil
}
